"""Compresses photographs.

python -m bmshj_minnen.compress in.png out.tfci
python -m bmshj_minnen.compress --quality=30 --output_dir=OUT files, folders or globs
python -m bmshj_minnen.compress --bytes=40000 in.png out.tfci  # Or --bpp=0.5, or --psnr=36.
python -m bmshj_minnen.compress --refine=20 in.png out.tfci    # Slower, and smaller.
"""

import functools
import os
import sys

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.coding import bitstream
from bmshj_minnen.command_line import many_files, planning, report, shared_flags
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.photographs import images

_MODEL = shared_flags.define_model()
_QUALITY = shared_flags.QualityFlags()
_ALPHA = shared_flags.define_alpha()
_FILES = shared_flags.FileFlags("compressed")
_REFINEMENT = shared_flags.RefinementFlags()
_VERBOSE = flags.DEFINE_bool("verbose", False, "Print sizes, quality and where the time went.")


def _convert(codec, model, quality, image, progress):
  seconds: dict[str, float] = {}
  data, latents = codec.compress_with_latents(image, seconds, progress, **quality)
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
    codec = model_directory.load(
      _MODEL.value,
      memory=_FILES.memory,
      precision=_FILES.precision,
      refine=_REFINEMENT.steps,
      lmbda=_REFINEMENT.lmbda,
    )
    quality = _QUALITY.arguments(codec.config)
    model = model_directory.load_model(_MODEL.value) if _VERBOSE.value else None
    work = many_files.Work(
      lambda path, note: images.read_image(path, _ALPHA.value, note),
      functools.partial(_convert, codec, model, quality),
      images.write_atomically,
    )
    outcome = many_files.run(plan, work, _FILES.jobs, "compressed")
    sys.exit(int(outcome.failed > 0))


def run():
  """The console entry point."""
  app.run(main)


if __name__ == "__main__":
  run()
