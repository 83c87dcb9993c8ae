"""Formats that are read, and pictures that Pillow would misread."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile

from bmshj_minnen.photographs import images


def _levels(*shape):
  return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _png(*extra, colours=None):
  """A PNG file with further chunks, (name, body[, change of the CRC]), before its pixels."""
  buffer = io.BytesIO()
  PIL.Image.fromarray(_levels(4, 6, 3) if colours is None else colours).save(buffer, "PNG")
  data = buffer.getvalue()
  chunks = b""
  for name, body, *wrong in extra:
    crc = zlib.crc32(name + body) ^ (wrong[0] if wrong else 0)
    chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)
  return data[:33] + chunks + data[33:]


def _refuse(content, words):
  with pytest.raises(images.ImageError) as caught:
    images.read_image("x", content=content)
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "name, head",
  [
    ("PSD", b"8BPS\0\1"),
    ("XBM", b"#define x_width 8\n"),
    ("PCX", b"\x0a\5\1\1"),
    ("FITS", b"SIMPLE  =  T"),
    ("CUR", b"\0\0\2\0\1\0"),
    ("DDS", b"DDS \x7c\0\0\0"),
    ("HEIC", b"\0\0\0\x18ftypheic"),
  ],
)
def test_other_formats_are_refused_by_name(name, head):
  _refuse(head.ljust(200, b"\0"), f"a {name} picture, which is not read: convert it to PNG first")


def test_a_palette_that_is_missing_is_one_line():
  header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)
  data = b"\x89PNG\r\n\x1a\n"
  for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")):
    data += struct.pack(">I", len(body)) + name + body
    data += struct.pack(">I", zlib.crc32(name + body))
  _refuse(data, "damaged")


@pytest.mark.parametrize(
  "chunk, words",
  [
    ((b"cICP", bytes([9, 16, 0, 1])), "HDR"),
    ((b"cICP", bytes([9, 18, 0, 1])), "HDR"),
    ((b"cICP", bytes([12, 13, 0, 1])), "other than sRGB"),
    ((b"gAMA", struct.pack(">I", 100000)), "other than sRGB"),
  ],
)
def test_other_colours_in_png_are_refused(chunk, words):
  _refuse(_png(chunk), words)


_LONG = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
  "chunk",
  [
    (b"cICP", bytes([1, 13, 0, 1])),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"zTXt", b"a\0\0" + _LONG),
    (b"iTXt", b"a\0\1\0\0\0" + _LONG),
    (b"zTXt", b"a\0\0no stream"),
    (b"tEXt", b"a\0b", 1),
  ],
)
def test_what_stands_beside_the_pixels_costs_none(chunk):
  np.testing.assert_array_equal(
    images.read_image("x", note=pytest.fail, content=_png(chunk)), _levels(4, 6, 3)
  )


@pytest.mark.parametrize(
  "options, words",
  [
    ({"photometric": "minisblack", "subfiletype": 1}, "raw photograph"),
    ({"photometric": "minisblack", "extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]}, "raw"),
    ({"photometric": "minisblack", "extratags": [(274, 1, 1, 6, True)]}, "orientation"),
  ],
)
def test_tiff_that_would_be_misread_is_refused(options, words):
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, _levels(5, 7), **options)
  _refuse(buffer.getvalue(), words)


def test_signed_tiff_is_refused():
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, _levels(5, 7).view(np.int8), photometric="minisblack")
  _refuse(buffer.getvalue(), "signed")


def test_a_transparent_level_of_16_bit_grey_can_be_dropped():
  levels = _levels(4, 6).astype(np.uint16) * 257
  content = _png((b"tRNS", levels[0, :1].astype(">u2").tobytes()), colours=levels)
  _refuse(content, "16 bits with a transparent colour")
  read = images.read_image("x", alpha="drop", content=content)
  np.testing.assert_array_equal(read, np.repeat(_levels(4, 6)[..., None], 3, -1))
