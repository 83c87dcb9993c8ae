"""JPEG photographs that are cut: how many are refused, whether whole ones are read, and the cost.

python -m experiments.reliability.cut_photographs --images='photos/**/*.jpg'
"""

import io
import itertools
import statistics
import time
from collections import Counter

import numpy as np
import PIL.Image
from absl import app, flags

import bmshj_minnen
from bmshj_minnen.file_tools import globs
from bmshj_minnen.images import image_files, jpeg

_IMAGES = flags.DEFINE_multi_string("images", None, "JPEG photographs.", required=True)
_MODEL = flags.DEFINE_string("model", "default", "Model whose time is the measure.")
_TIMED = flags.DEFINE_integer("timed", 20, "Number of photographs that are timed.", lower_bound=1)
_LAST = 40  # Bytes.
_WORDS = ("read", "refused")
_KINDS = [
  {"quality": quality, "progressive": progressive, **restarts}
  for quality, progressive, restarts in itertools.product(
    (40, 75, 93), (False, True), ({}, {"restart_marker_rows": 1}, {"restart_marker_blocks": 7})
  )
]


def _decoded(content):
  """Pixels, and whether the file is refused; None and True if Pillow does it."""
  try:
    with PIL.Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
      image.load()
      return np.asarray(image), jpeg.lacks_pixels(image, content)
  except OSError:
    return None, True


def _outcomes(photograph, options, random):
  """Outcomes of a crop as it is, and cut at each of its last bytes."""
  height, width = random.integers(40, 120, 2)
  buffer = io.BytesIO()
  photograph.crop((0, 0, width, height)).save(buffer, "JPEG", **options)
  content = buffer.getvalue()
  whole, is_refused = _decoded(content)
  yield f"crop, {_WORDS[is_refused]}"
  for size in range(len(content) - 2 - _LAST, len(content) - 2):
    if content[size - 1] != 0xFF:
      cut, is_refused = _decoded(content[:size] + content[-2:])
      has_effect = cut is None or not np.array_equal(cut, whole)
      yield f"cut, {_WORDS[is_refused]}" if has_effect else "cut, without effect"


def _seconds(function):
  times = []
  for _ in range(3):
    start = time.perf_counter()
    function()
    times.append(time.perf_counter() - start)
  return min(times)


def _shares(paths):
  """Share of the second decoding in reading and compressing, by photograph."""
  codec = bmshj_minnen.load(_MODEL.value)
  for path in paths:
    with open(path, "rb") as file:
      content = file.read()
    with PIL.Image.open(io.BytesIO(content)) as image:
      image.load()
      look = _seconds(lambda: jpeg.lacks_pixels(image, content))  # noqa: B023
    pixels = image_files.read_image(path, content=content)
    codec.compress(pixels)  # Traces.
    rest = _seconds(lambda: codec.compress(image_files.read_image(path, content=content)))  # noqa: B023
    yield look / rest


def main(argv):
  """Counts outcomes, measures the cost, and prints both."""
  del argv
  paths = sorted(itertools.chain(*map(globs.expand, _IMAGES.value)))
  random, counts = np.random.default_rng(0), Counter()
  for path in paths:
    with open(path, "rb") as file:
      counts[f"as it is, {_WORDS[_decoded(file.read())[1]]}"] += 1
  for options, path in itertools.product(_KINDS, paths[:: max(len(paths) // 30, 1)]):
    with PIL.Image.open(path) as photograph:
      for mode in ("RGB", "L"):
        counts.update(_outcomes(photograph.convert(mode), options, random))
  for outcome, count in sorted(counts.items()):
    print(f"{outcome}: {count}")
  shares = list(_shares(paths[:: max(len(paths) // _TIMED.value, 1)][: _TIMED.value]))
  print(f"cost: median {statistics.median(shares):.2%}, at most {max(shares):.2%} of compress")


if __name__ == "__main__":
  app.run(main)
