"""Measures codecs: `python -m bmshj_minnen.evaluate --model=DIR --images='…/*.png' --output=DIR`.

`--codecs=jpeg420,avif,av1` measures classical codecs, which `evaluation.classical` lists. Some take
half a minute a megapixel. After an interruption the same command continues, and earlier
measurements stay in the table. Tables of other programs are never replaced. The output also has
averages, a summary and plots; `--report=DIR` writes a page to look at.
"""

import functools
import pathlib

from absl import flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import refinement_flags, shared_flags, usage
from bmshj_minnen.evaluation import (
  cautions,
  classical,
  exchange,
  measurements,
  measuring,
  perceptual,
  published,
  report,
  subjects,
  summary,
)

_MODEL = flags.DEFINE_multi_string(
  "model", [], "Model directories, patterns for them, or names, with commas; may be repeated."
)
shared_flags.define_imports()
_IMAGES = flags.DEFINE_string("images", None, "A pattern for the images.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the results.", required=True)
_LABEL = flags.DEFINE_string(
  "label",
  "",
  "Name of the models, which become one curve; empty: the names of their directories, without the "
  "number at the end.",
)
_CODECS = flags.DEFINE_list("codecs", [], f"Classical codecs: {', '.join(classical.FORMATS)}.")
_QUALITIES = flags.DEFINE_list(
  "qualities",
  [],
  "Qualities of models for many rates; without such a model, settings of all --codecs; empty: a "
  "list for each that spans the useful rates.",
)
flags.register_validator(
  "qualities",
  lambda values: all(value.isdecimal() for value in values),
  "give whole numbers, such as 20,40,60",
)
_PRECISION = shared_flags.define_precision()
_REFINEMENT = refinement_flags.RefinementFlags()
_ALPHA = shared_flags.define_alpha()
_REPORT = flags.DEFINE_string(
  "report",
  "",
  "Folder for a page to look at, index.html, with images from these codecs.",
)
_COMPARE = flags.DEFINE_list(
  "compare",
  [],
  "Files with curves of other projects: CompressAI's results (.json), or .csv with the columns "
  "codec, bpp, psnr_db and ms_ssim. The values must be averages over the same images.",
)
_PUBLISHED = flags.DEFINE_enum(
  "published",
  None,
  published.DATA_SETS,
  "Also show the curves that were published for these images: the paper's, BPG and JPEG.",
)
_FORMAT = flags.DEFINE_enum(
  "format",
  "",
  ["", "compressai"],
  "Second format for the averages, written to a folder of this name in the output.",
)
_PLOTS = flags.DEFINE_list(
  "plots", ["png"], f"Formats of the plots: {', '.join(summary.PLOT_FORMATS)}."
)
_TABLES = flags.DEFINE_list(
  "tables", ["md"], f"Formats of the tables: {', '.join(summary.TABLE_FORMATS)}."
)
for _name, _formats in (("plots", summary.PLOT_FORMATS), ("tables", summary.TABLE_FORMATS)):
  flags.register_validator(
    _name,
    lambda values, formats=_formats: set(values) <= set(formats),
    f"give some of {', '.join(_formats)}",
  )
_PERCEPTUAL = flags.DEFINE_list(
  "perceptual",
  [],
  f"Perceptual metrics, more columns of the results: {', '.join(perceptual.METRICS)}.",
)
_KEEP_FILES = flags.DEFINE_bool(
  "keep_files",
  False,
  "Leave the compressed files in the output; a report then needs no second run of slow codecs.",
)


def _write_report(config, rows):
  page = report.write(
    rows,
    subjects.find_contenders(config),
    subjects.find_photographs(config.images, config.alpha),
    pathlib.Path(_REPORT.value),
    functools.partial(measuring.kept_file, pathlib.Path(config.output), rows),
  )
  size = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
  print(f"{page}, with its pictures {size / 1e6:.1f} MB")


def main(argv):
  """Flags -> one library call."""
  usage.refuse_arguments(argv, has_patterns=True)
  logging.set_verbosity(logging.INFO)
  with startup.one_line_errors(), startup.sigterm_interrupts():
    config = measuring.EvaluationConfig(
      images=_IMAGES.value,
      output=_OUTPUT.value,
      models=_MODEL.value,
      label=_LABEL.value,
      codecs=_CODECS.value,
      qualities=[int(quality) for quality in _QUALITIES.value],
      precision=_PRECISION.value,
      refine=_REFINEMENT.steps,
      lmbda=_REFINEMENT.lmbda,
      alpha=_ALPHA.value,
      keep_files=_KEEP_FILES.value,
      perceptual=_PERCEPTUAL.value,
    )
    others = exchange.read(_COMPARE.value)  # Before hours of measuring.
    if _REPORT.value:
      report.refuse_other(pathlib.Path(_REPORT.value))
    for entry in measuring.evaluate(config):
      perceived = [f"  {name} {entry[name]:.4f}" for name in _PERCEPTUAL.value]
      print(
        "{codec:10} {setting:>20} {images:4} images {bpp:7.4f} bpp {psnr_db:7.3f} dB "
        "MS-SSIM {ms_ssim:.5f}  {encode_s:.3f} s  {decode_s:.3f} s".format(**entry),
        *perceived,
        sep="",
      )
    rows = measurements.read_rows(pathlib.Path(config.output) / measuring.TABLE)
    for sentence in cautions.of_averages(rows):
      print(sentence)
    output = pathlib.Path(config.output)
    if _PUBLISHED.value:
      reason = published.left_out(rows)
      if reason:
        print(reason)
      else:
        others = {**published.shown(), **others}
    summary.write(rows, output, others, _PLOTS.value, _TABLES.value)
    if _FORMAT.value:
      exchange.write_compressai(rows, output / _FORMAT.value)
    if _REPORT.value:
      _write_report(config, rows)


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
