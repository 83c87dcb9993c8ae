"""Compresses photographs.

python -m bmshj_minnen.compress in.png out.tfci
python -m bmshj_minnen.compress --quality=1 --output_dir=OUT files, folders or globs
python -m bmshj_minnen.compress --refine=20 in.png out.tfci   # Slower, and smaller.
"""

import functools
import sys

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.coding import bitstream, dial
from bmshj_minnen.command_line import files, many_files, planning, report, shared_flags
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


def _convert(codec, estimator, quality, image, progress):
  seconds: dict[str, float] = {}
  data, latents = codec.compress_with_latents(image, seconds, progress, quality)

  def describe():
    if not _VERBOSE.value:
      return []
    lines = report.lines(image, codec.decompress(data), len(data), seconds)
    return [*lines, *estimator.lines(latents, image.shape)]

  return data, describe


def _is_done(codec, quality, source, target):
  """Whether a whole file of this model and quality is there already."""
  if quality is None and codec.config.gain_lambdas:
    quality = dial.DEFAULT_QUALITY
  try:
    header, _ = bitstream.parse_intact(files.read(target))
  except (OSError, bitstream.BitstreamError):
    return False
  return (header.fingerprint, header.quality) == (codec.fingerprint, quality)


def _read(path, note):
  content = files.read(path) if path == files.STREAM else None
  return images.read_image(path, _ALPHA.value, note, content)


def main(argv):
  """Flags -> one library call."""
  with startup.one_line_errors():
    results = _FILES.results(bitstream.is_start_of_file)
    request = _FILES.request(argv[1:])
    plan = planning.make_plan(request, images.SUFFIXES, ".tfci", results.problem)
    name = _model_name()
    codec = model_directory.load(
      name,
      memory=_FILES.memory,
      precision=_FILES.precision,
      refine=_REFINEMENT.steps,
      lmbda=_REFINEMENT.lmbda,
    )
    estimator = report.Estimator(name)
    quality = _quality(codec)
    work = many_files.Work(
      _read,
      functools.partial(_convert, codec, estimator, quality),
      results.write,
      functools.partial(_is_done, codec, quality),
    )
    outcome = many_files.run(plan, work, _FILES.jobs, "compressed")
    sys.exit(int(outcome.failed > 0))


def run():
  """The console entry point."""
  app.run(main)


if __name__ == "__main__":
  run()
