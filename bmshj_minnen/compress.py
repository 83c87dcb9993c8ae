"""Compresses photographs.

python -m bmshj_minnen.compress in.png out.tfci
python -m bmshj_minnen.compress --quality=30 --output_dir=OUT files, folders or globs
python -m bmshj_minnen.compress --bytes=40000 in.png out.tfci  # Or --bpp=0.5, or --psnr=36.
python -m bmshj_minnen.compress --effort=4 in.png out.tfci     # Slower, and smaller.
"""

import errno
import functools
import os
import sys

import PIL.Image
from absl import flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import targets
from bmshj_minnen.command_line import (
  copies,
  existing,
  file_flags,
  files,
  many_files,
  planning,
  quality_flags,
  refinement_flags,
  run_log,
  run_metrics,
  run_records,
  runtimes,
  shared_flags,
  verbose,
  verification,
)
from bmshj_minnen.format import reading
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.images import image_files, metadata

_MODEL = shared_flags.define_model()
_QUALITY = quality_flags.QualityFlags()
_ALPHA = shared_flags.define_alpha()
_FILES = file_flags.FileFlags("compressed", "a.jpg.tfci")
_RUNTIME = shared_flags.define_runtime()
_PRECISION = shared_flags.define_precision()
_REFINEMENT = refinement_flags.RefinementFlags()
_METADATA = flags.DEFINE_bool(
  "metadata",
  False,
  "Keep EXIF and XMP, which may show where, when and by whom a photograph was taken. Colour "
  "profiles are always applied, because decompressed images are sRGB.",
)
_KEEP_SMALLER = flags.DEFINE_bool(
  "keep_smaller",
  False,
  "With --output_dir, copy photographs that are smaller than their compressed files, with all "
  "their metadata, in place of these.",
)
_VERIFY = flags.DEFINE_bool(
  "verify",
  False,
  "Decode each file before it is written, compare its latents, and read it back; takes about twice "
  "as long.",
)
_LOG = shared_flags.define_log()
_METRICS = shared_flags.define_metrics()
_VERBOSE = flags.DEFINE_bool(
  "verbose",
  False,
  "Print sizes, quality and seconds of each part; with --runtime=onnx no MS-SSIM and no estimate.",
)


def _asked_of_codec(quality, image, kept):
  """The quality or target for the codec; a target of bytes less the bytes of the metadata."""
  target = {name: value for name, value in quality.items() if name != "quality"}
  goal = targets.Target.of(image.shape[0] * image.shape[1], **target)
  size = len(with_metadata(b"", *kept))
  if goal is None or goal.bytes is None or not size:
    return quality
  if goal.bytes <= size:
    raise ValueError(f"{goal.bytes} bytes are too few: the metadata alone take {size}")
  return {"bytes": goal.bytes - size}


def _convert(codec, estimator, quality, photograph, progress, facts):
  image, kept, size = photograph
  facts.update(width=image.shape[1], height=image.shape[0])
  seconds: dict[str, float] = {}
  asked = _asked_of_codec(quality, image, kept)
  picture, latents = codec.compress_with_latents(image, seconds, progress, **asked)
  data = with_metadata(picture, *kept)
  header, _ = reading.parse(data)
  facts.update(bytes=len(data), quality=header.quality, seconds=seconds)
  if size is not None:
    facts.update(source_bytes=size, larger=size < len(data))
  if _VERIFY.value:
    verification.refuse_wrong(codec, data, latents, image)
    facts["verified"] = True

  def describe():
    if not _VERBOSE.value:
      return []
    lines = verbose.lines(image, codec.decompress(data), len(data), seconds)
    return [*lines, *estimator.lines(latents, image.shape)]

  return (data, facts.get("larger", False)), describe


def _write(results, target, result, source):
  data, is_larger = result
  is_copied = is_larger and _KEEP_SMALLER.value
  if _FILES.output_dir and (
    _KEEP_SMALLER.value or results.is_recorded(copies.place_of(target, source))
  ):
    written = copies.write(results, target, data, source, is_copied)
  else:
    results.write(target, data, source)
    written = target
  if _VERIFY.value and not is_copied and os.path.isfile(target) and files.read(target) != data:
    raise OSError(errno.EIO, "the file that was read back is not what was written", target)
  return written


def _is_done(codec, quality, source, target):
  """Facts about a file that satisfies the request and exists already; else None."""
  if _FILES.update and _REFINEMENT.steps:  # A file does not show how far it was refined.
    return None
  if _ALPHA.value and not existing.is_opaque(source):
    return None
  read_source = functools.partial(image_files.read_image, source, _ALPHA.value, lambda text: None)
  data = files.read(target)
  header = existing.header_if_satisfied(codec, quality, data, read_source)
  if header is None:
    return None
  if _METADATA.value and (header.exif, header.xmp) != _metadata(source, files.read(source)):
    return None
  return {"width": header.width, "height": header.height, "bytes": len(data)}


def _request(codec, quality):
  """The request for the manifest; flags that Beam lacks are named only if they are given."""
  settings = {
    "alpha": _ALPHA.value,
    "metadata": _METADATA.value or None,
    "refine": _REFINEMENT.steps or None,
    "lambda": _REFINEMENT.lmbda,
  }
  return existing.request_text(codec, quality, **settings)


def _pixels(path):
  with PIL.Image.open(path) as image:  # Reads the header.
    return image.width * image.height


def _read(path, note):
  content = files.read(path) if _METADATA.value or path == files.STREAM else None
  image = image_files.read_image(path, _ALPHA.value, note, content)
  size = os.path.getsize(path) if os.path.isfile(path) else None
  return image, _metadata(path, content, note), size


def _metadata(path, content, note=lambda text: None):
  if not _METADATA.value:
    return metadata.Metadata()
  return metadata.read(content, lambda text: note(f"{path}: {text}"))


def main(argv):
  """Flags -> one library call."""
  with startup.one_line_errors(_FILES.status):
    rows = _FILES.open_archive()
    results = _FILES.results(reading.is_start_of_file, rows)
    request = _FILES.request(argv[1:], _KEEP_SMALLER.value)
    asked = _QUALITY.arguments(None)  # Refuses wrong flags before a model is loaded.
    if _REFINEMENT.steps and set(asked) - {"quality"}:
      raise ValueError(
        f"--{min(asked)} is a target, and --effort is for a given quality: leave one out"
      )
    plan = planning.make_plan(request, image_files.SUFFIXES, ".tfci", results.problem)
    loader = runtimes.choose(
      _RUNTIME.value,
      _MODEL.value,
      plan.jobs,
      _pixels,
      reports=_VERBOSE.value,
      memory=_FILES.memory,
      precision=_PRECISION.value,
      **_REFINEMENT.arguments,
    )
    codec = loader.load(_MODEL.value)
    quality = _QUALITY.arguments(codec.config)
    work = many_files.Work(
      _read,
      functools.partial(_convert, codec, verbose.Estimator(_MODEL.value), quality),
      functools.partial(_write, results),
      functools.partial(_is_done, codec, quality),
      _request(codec, quality),
    )
    metrics = run_metrics.RunMetrics(_METRICS.value, "compress")
    records = run_records.Records(run_log.RunLog(_LOG.value), metrics, rows)
    outcome = many_files.run(plan, work, _FILES.jobs, "compressed", records)
    sys.exit(outcome.status(plan.is_folder))


def run():
  """The console entry point."""
  startup.run(main, status_of=_FILES.status_of)


if __name__ == "__main__":
  run()
