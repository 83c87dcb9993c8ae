"""JPEG files that lack only the end marker are read; files that lack pixels are refused."""

import io
import re

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.images import image_files, jpeg
from tests import codecs

_PICTURES = {
  "photograph": codecs.photograph(48, 72),
  "small": codecs.photograph(20, 30),
  "noise": np.random.default_rng(0).integers(0, 256, [56, 40, 3], dtype=np.uint8),
  "grey": codecs.photograph(48, 72)[..., 0],
}


def _saved(name, **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PICTURES[name]).save(buffer, "JPEG", **options)
  assert buffer.getvalue().endswith(b"\xff\xd9")
  return buffer.getvalue()


@pytest.mark.parametrize("name", _PICTURES)
@pytest.mark.parametrize(
  "options",
  [{"progressive": True}, {"progressive": True, "quality": 95}, {}, {"restart_marker_blocks": 1}],
)
def test_files_that_lack_only_the_end_are_read(name, options):
  content = _saved(name, **options)
  assert jpeg.with_end(content) is content
  assert jpeg.with_end(content + b"behind it") == content + b"behind it"
  expected = image_files.read_image("x", content=content)
  for size in (len(content) - 2, len(content) - 1):
    read = image_files.read_image("x", content=content[:size], note=pytest.fail)
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("name", _PICTURES)
def test_progressive_files_that_lack_more_are_refused(name):
  """Either a byte of the last scan is missing, or the whole last scan."""
  content = _saved(name, progressive=True)[:-2]
  last = content.rfind(b"\xff\xda")
  for size in (
    *range(len(content) - 20, len(content)),
    *range(20, last, 97),
    *range(last, last + 12),
  ):
    assert jpeg.with_end(content[:size]) == content[:size], size
  for size in (len(content) - 1, len(content) - 20, last, last + 5, last // 2):
    with pytest.raises(image_files.ImageError, match="not a readable image"):
      image_files.read_image("x", content=content[:size])


_KINDS = [
  {},
  {"quality": 95},
  {"progressive": True},
  {"restart_marker_rows": 1},
  {"restart_marker_blocks": 2},
  {"progressive": True, "restart_marker_blocks": 5},
]
_END = b"\xff\xd9"


def _refuse(content):
  with pytest.raises(image_files.ImageError, match=r"^x: .*truncated.*$") as caught:
    image_files.read_image("x", content=content)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", _PICTURES)
@pytest.mark.parametrize("options", _KINDS)
def test_a_scan_that_ends_early_is_refused_in_spite_of_an_end_marker(name, options):
  content = _saved(name, **options)[:-2]
  start = content.rfind(b"\xff\xda") + 14
  for size in {*range(start, len(content) - 4, 29), len(content) - 5, len(content) - 9}:
    if content[size - 1] != 0xFF and size > start:
      _refuse(content[:size] + _END)


def test_any_scan_of_a_progressive_file_may_be_what_ends_early():
  content = _saved("noise", progressive=True)
  scans = list(re.finditer(rb"\xff\xda.{12}(?:[^\xff]|\xff\0)*", content, re.S))
  assert len(scans) > 5
  for scan in scans:
    cut = scan.end() - 6 - (content[scan.end() - 7] == 0xFF)
    _refuse(content[:cut] + content[scan.end() :])


@pytest.mark.parametrize("options", _KINDS[-3:])
def test_intervals_that_are_missing_or_out_of_order_are_refused(options):
  content = _saved("noise", **options)
  marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)]
  first, second, third = marks[0], marks[1], marks[2]
  _refuse(content[:first] + content[second:])
  _refuse(content[:first] + content[first + 2 :])
  _refuse(content[:first] + content[second:third] + content[first:second] + content[third:])
  if len(marks) > 8:
    _refuse(content[:first] + content[marks[8] :])  # The next number is right again.


def test_a_file_that_was_never_written_to_its_end_is_refused():
  for options in _KINDS:
    content = _saved("photograph", **options)
    half = len(content) - (len(content) - content.rfind(b"\xff\xda")) // 2
    _refuse(content[:half] + bytes(len(content) - half))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", _KINDS)
def test_whole_files_are_read(mode, options):
  for size in ((1, 1), (8, 9), (17, 33), (40, 7)):
    for pixels in (codecs.photograph(*size), np.zeros([*size, 3], np.uint8)):
      for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        buffer = io.BytesIO()
        image = PIL.Image.fromarray(pixels).convert(mode)
        image.save(buffer, "JPEG", **options, subsampling=subsampling)
        buffer.write(b"behind it \xff\xd8\xff\xda")
        with PIL.Image.open(buffer) as expected:
          expected = np.asarray(expected.convert("RGB"))
        read = image_files.read_image("x", content=buffer.getvalue(), note=pytest.fail)
        np.testing.assert_array_equal(read, expected)
