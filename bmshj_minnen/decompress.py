"""Decompresses files that `compress` wrote.

python -m bmshj_minnen.decompress out.tfci back.png  # Or .jpg, .webp, .avif, .tif and others.
python -m bmshj_minnen.decompress --model=DIR --output_dir=BACK files, folders or globs
"""

import dataclasses
import functools
import itertools
import sys

from absl import flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import (
  archive_contents,
  file_flags,
  files,
  manifest,
  many_files,
  picture_flags,
  planning,
  run_log,
  run_metrics,
  run_records,
  runtimes,
  shared_flags,
  verbose,
)
from bmshj_minnen.format import reading
from bmshj_minnen.images import encoding, image_files
from bmshj_minnen.images.metadata import Metadata

_MODEL = shared_flags.define_decoding_model()
_FILES = file_flags.FileFlags("decompressed", "a.tfci.png")
_RUNTIME = shared_flags.define_runtime()
_PRECISION = shared_flags.define_precision()
_PICTURES = picture_flags.PictureFlags()
_MAX_PIXELS = shared_flags.define_max_pixels()
_REGION = flags.DEFINE_list(
  "region",
  None,
  "Make this part of the picture alone: left, top, width, height, such as 0,0,64,64.",
)
flags.register_validator(
  "region",
  lambda values: values is None or (len(values) == 4 and all(v.isdecimal() for v in values)),
  "give left, top, width and height, such as 0,0,64,64",
)
_SCALES = {"1": 1, "1/2": 1 / 2, "1/4": 1 / 4, "1/8": 1 / 8}
_SCALE = flags.DEFINE_enum(
  "scale",
  "1",
  list(_SCALES),
  "Make a smaller picture, in which each pixel is the mean of a square of pixels.",
)
_LOG = shared_flags.define_log()
_METRICS = shared_flags.define_metrics()
_VERBOSE = flags.DEFINE_bool("verbose", False, "Print the size and the seconds of each part.")
_ORIGINAL = shared_flags.define_path(
  "original", None, "With --verbose, a photograph to compare with."
)
_ALPHA = flags.DEFINE_enum(
  "alpha", None, image_files.ALPHA, "How transparency of --original was read."
)


def _copied(request):
  """A note if folders contain photographs that `compress` has copied."""
  copies = archive_contents.recorded_copies(request.paths, request.recursive).values()
  names = list(itertools.chain(*copies)) if request.output_dir else []
  if names:
    yield f"photographs that were copied, not compressed: {len(names)}, such as {names[0]}"


def _region():
  return None if _REGION.value is None else tuple(map(int, _REGION.value))


def _request():
  """The request for the manifest: the suffix, and other settings that are given."""
  region = ",".join(_REGION.value) if _REGION.value else None
  scale = _SCALE.value if _SCALE.value != "1" else None
  settings = manifest.request_text(output_quality=_PICTURES.quality, region=region, scale=scale)
  return " ".join(filter(None, (_PICTURES.suffix[1:], settings)))


def _read(image_format, path, note):
  """A file, and the part of its metadata that the image format can store."""
  data = files.read(path)
  header, _ = reading.parse(data)
  metadata, left_out = encoding.fitting(Metadata(header.exif, header.xmp), image_format)
  for line in left_out:
    note(f"{path}: {line}")
  return data, metadata


def _convert(codec_of, original, content, progress, facts):
  data, metadata = content
  facts["bytes"] = len(data)
  seconds: dict[str, float] = {}
  image = codec_of(data).decompress(data, seconds, progress, _region(), _SCALES[_SCALE.value])
  facts.update(width=image.shape[1], height=image.shape[0], seconds=seconds)

  def describe():
    return verbose.lines(original, image, len(data), seconds) if _VERBOSE.value else []

  return (image, metadata), describe


def _write(results, image_format, target, picture, source):
  image, metadata = picture
  data = encoding.encode(image, image_format, _PICTURES.quality, metadata)
  results.write(target, data, source)


def _is_done(source, target):
  """Facts about a whole image of the size that the source declares, if there is one; else None."""
  data = files.read(source)
  header, _ = reading.parse_intact(data)
  if _region() or _SCALE.value != "1":
    return None
  if _FILES.update and _PICTURES.quality:  # A picture does not show its quality.
    return None
  if image_files.size_of_whole_picture(target) != (header.height, header.width):
    return None
  return {"width": header.width, "height": header.height, "bytes": len(data)}


def main(argv):
  """Flags -> one library call."""
  with startup.one_line_errors(_FILES.status):
    if _ORIGINAL.value and _FILES.output_dir:
      raise ValueError("--original is for one file, not for --output_dir")
    if _ORIGINAL.value and _SCALE.value != "1":
      raise ValueError("--original has the size of the whole picture: leave out --scale")
    rows = _FILES.open_archive()
    # An image does not show which program wrote it; a manifest does.
    results = _FILES.results(lambda head: False, rows)
    request = _FILES.request(argv[1:])
    plan = planning.make_plan(request, frozenset((".tfci",)), _PICTURES.suffix, results.problem)
    plan = dataclasses.replace(plan, notes=(*plan.notes, *_copied(request)))
    image_format = _PICTURES.format_of(None if plan.is_folder else plan.jobs[0].target)
    original = image_files.read_image(_ORIGINAL.value, _ALPHA.value) if _ORIGINAL.value else None
    loader = runtimes.choose(
      _RUNTIME.value,
      _MODEL.value,
      plan.jobs,
      runtimes.pixels_of_compressed,
      reports=bool(_VERBOSE.value and _ORIGINAL.value),
      max_pixels=_MAX_PIXELS.value,
      memory=_FILES.memory,
      precision=_PRECISION.value,
    )
    work = many_files.Work(
      functools.partial(_read, image_format),
      functools.partial(_convert, loader.codec_of(_MODEL.value), original),
      functools.partial(_write, results, image_format),
      _is_done,
      _request(),
    )
    metrics = run_metrics.RunMetrics(_METRICS.value, "decompress")
    records = run_records.Records(run_log.RunLog(_LOG.value), metrics, rows)
    outcome = many_files.run(plan, work, _FILES.jobs, "decompressed", records)
    sys.exit(outcome.status(plan.is_folder))


def run():
  """The console entry point."""
  startup.run(main, status_of=_FILES.status_of)


if __name__ == "__main__":
  run()
