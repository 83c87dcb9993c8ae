"""Compresses photographs.

python -m bmshj_minnen.compress in.png out.tfci
python -m bmshj_minnen.compress --quality=1 --output_dir=OUT files, folders or globs
python -m bmshj_minnen.compress --refine=20 in.png out.tfci   # Slower, and smaller.
"""

import functools
import os
import sys

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.coding import bitstream, dial
from bmshj_minnen.command_line import many_files, planning, report, shared_flags
from bmshj_minnen.model_files import catalogue, model_directory
from bmshj_minnen.photographs import images

_MODEL = shared_flags.define_model()
_QUALITY = flags.DEFINE_integer(
  "quality",
  None,
  "With a --model for many rates, 1 (smallest files) to 100; else the number of a shipped model.",
)
_ALPHA = shared_flags.define_alpha()
_FILES = shared_flags.FileFlags("compressed")
_REFINEMENT = shared_flags.RefinementFlags()
_VERBOSE = flags.DEFINE_bool("verbose", False, "Print sizes, quality and where the time went.")


def _model_name():
  if _QUALITY.value is None or _MODEL.value:
    return _MODEL.value
  return catalogue.of_quality(_QUALITY.value)


def _quality(codec):
  """Of a model for many rates; complains before the first file is read."""
  if not _MODEL.value or _QUALITY.value is None:
    return None
  dial.lambda_of(_QUALITY.value, codec.config)
  return _QUALITY.value


def _convert(codec, model, quality, image, progress):
  seconds: dict[str, float] = {}
  data, latents = codec.compress_with_latents(image, seconds, progress, quality)
  if model is None:
    return data, []
  lines = report.lines(image, codec.decompress(data), len(data), seconds)
  bits = report.estimated_bits(model, latents)
  bpp = bits / (image.shape[0] * image.shape[1])
  return data, [*lines, f"estimated bits   {bits:.0f} ({bpp:.4f} bpp)"]


def _refuse_to_overwrite(target):
  """Raises for a result's name that belongs to something else, such as a photograph."""
  if os.path.isfile(target):
    with open(target, "rb") as file:
      if file.read(len(bitstream.MAGIC)) not in (bitstream.MAGIC, b""):
        raise ValueError(f"{target} would be overwritten, but is no compressed file")


def main(argv):
  """Flags -> one library call."""
  with startup.one_line_errors():
    plan = planning.make_plan(_FILES.request(argv[1:]), images.SUFFIXES, ".tfci")
    if not plan.is_folder:
      for job in plan.jobs:
        _refuse_to_overwrite(job.target)
    name = _model_name()
    codec = model_directory.load(
      name,
      memory=_FILES.memory,
      precision=_FILES.precision,
      refine=_REFINEMENT.steps,
      lmbda=_REFINEMENT.lmbda,
    )
    model = model_directory.load_model(name) if _VERBOSE.value else None
    work = many_files.Work(
      lambda path, note: images.read_image(path, _ALPHA.value, note),
      functools.partial(_convert, codec, model, _quality(codec)),
      images.write_atomically,
    )
    outcome = many_files.run(plan, work, _FILES.jobs, "compressed")
    sys.exit(int(outcome.failed > 0))


def run():
  """The console entry point."""
  app.run(main)


if __name__ == "__main__":
  run()
