"""Formats that can be read, and pictures that Pillow would misread."""

import io
import struct
import sys
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tifffile

from bmshj_minnen.format import writing
from bmshj_minnen.images import image_files
from tests import pngs


def _refuse(content, words):
  with pytest.raises(image_files.ImageError) as caught:
    image_files.read_image("x", content=content)
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
    ("SGI", b"\x01\xda\0\1"),
    ("ICO", b"\0\0\1\0\1\0"),
    ("JPEG XL", b"\xff\x0a"),
    ("OpenEXR", b"v/1\1"),
    ("PFM", b"PF\n4 4\n-1.0\n"),
    ("big-endian BigTIFF", b"MM\0\x2b\0\x08\0\0"),
    ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("SVG", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'),
    (
      "SVG",
      b"\xef\xbb\xbf<?xml version='1.0'?><!-- a > b --><!DOCTYPE svg [<!ENTITY a 'b'>]> <svg:svg/>",
    ),
    ("raw", b"FUJIFILMCCD-RAW "),
  ],
)
def test_other_formats_are_refused_by_name(name, head):
  reason = f"a picture in {name} format, which is not read: convert it to PNG first"
  _refuse(head.ljust(200, b"\0"), reason)


@pytest.mark.parametrize("text", [b"<html><svg/></html>", b"<?xml?>" * 500, b"<!--", b"<svgs/>"])
def test_other_text_is_no_svg(text):
  _refuse(text, "unknown format")


def test_a_jpeg_whose_first_marker_is_missing_is_called_damaged():
  _refuse(b"\xff\xd8\0\0\0\0" + bytes(100), "a damaged JPEG picture")


def test_a_palette_that_is_missing_is_one_line():
  header = struct.pack(">IIBBBBB", 1, 1, 8, 3, 0, 0, 0)
  data = b"\x89PNG\r\n\x1a\n"
  for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0\0")), (b"IEND", b"")):
    data += struct.pack(">I", len(body)) + name + body
    data += struct.pack(">I", zlib.crc32(name + body))
  _refuse(data, "damaged")


@pytest.mark.parametrize(
  "options, words",
  [
    ({"photometric": "minisblack", "subfiletype": 1}, "raw photograph"),
    ({"photometric": "minisblack", "extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]}, "raw"),
  ],
)
def test_tiff_that_would_be_misread_is_refused(options, words):
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, pngs.levels(5, 7), **options)
  _refuse(buffer.getvalue(), words)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.float32, np.float16])
def test_tiff_of_other_than_natural_numbers_is_refused(kind):
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, pngs.levels(5, 7).astype(kind), photometric="minisblack")
  _refuse(buffer.getvalue(), "convert it to 8-bit RGB first")


def test_ycbcr_in_tiff_is_refused_unless_it_is_jpeg():
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, pngs.levels(16, 16, 3), photometric="ycbcr", subsampling=(1, 1))
  _refuse(buffer.getvalue(), "in YCbCr")
  buffer = io.BytesIO()
  smooth = np.linspace(20, 220, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint8)
  PIL.Image.fromarray(smooth).save(buffer, "TIFF", compression="jpeg", quality=95)
  np.testing.assert_allclose(_read(buffer.getvalue()), smooth, atol=8)


def _read(content, alpha=None):
  return image_files.read_image("x", alpha=alpha, content=content, note=pytest.fail)


@pytest.mark.parametrize("scale", [1, 257])
def test_a_palette_in_tiff_may_have_colours_of_8_bits(scale):
  palette, indices = pngs.levels(3, 256).astype(np.uint16), pngs.levels(5, 7)
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, indices, photometric="palette", colormap=palette * scale)
  np.testing.assert_array_equal(_read(buffer.getvalue()), palette.T[indices])


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("kind", [1, 7])
@pytest.mark.parametrize(
  "orientation, upright",
  [(3, lambda x: x[::-1, ::-1]), (5, lambda x: x.T), (6, lambda x: np.rot90(x, -1))],
)
def test_an_orientation_may_be_of_another_type(deep, kind, orientation, upright):
  levels = pngs.levels(5, 7)
  buffer = io.BytesIO()
  tags = [(274, kind, 1, bytes([orientation]), True)]
  stored = levels.astype(np.uint16) * 257 if deep else levels
  tifffile.imwrite(buffer, stored, photometric="minisblack", extratags=tags)
  read = image_files.read_image("x", content=buffer.getvalue(), note=lambda text: None)
  np.testing.assert_array_equal(read[..., 0], upright(levels))


def _grey_png(levels, bits, key):
  """A grey PNG file of a few bits, with one transparent level."""
  rows = b""
  for row in levels:
    stored = "".join(f"{level:0{bits}b}" for level in row)
    stored = stored.ljust(-(-len(stored) // 8) * 8, "0")
    rows += b"\0" + int(stored, 2).to_bytes(len(stored) // 8, "big")
  header = struct.pack(">IIBBBBB", len(levels[0]), len(levels), bits, 0, 0, 0, 0)
  parts = [(b"IHDR", header), (b"tRNS", struct.pack(">H", key)), (b"IDAT", zlib.compress(rows))]
  data = b"\x89PNG\r\n\x1a\n"
  for name, body in [*parts, (b"IEND", b"")]:
    data += struct.pack(">I", len(body)) + name + body
    data += struct.pack(">I", zlib.crc32(name + body))
  return data


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_level_of_any_depth_can_be_transparent(bits):
  highest = 2**bits - 1
  levels = np.array([[0, highest // 3, highest // 2], [highest - 1, highest, 1]])
  for key in np.unique(levels):
    content = _grey_png(levels, bits, key)
    _refuse(content, "has transparency")
    expected = np.round(levels * 255 / highest)
    read = lambda alpha: image_files.read_image("x", alpha, lambda text: None, content)[..., 0]  # noqa: B023, E731
    np.testing.assert_array_equal(read("drop"), expected)
    for alpha, level in (("white", 255), ("black", 0)):
      np.testing.assert_array_equal(read(alpha), np.where(levels == key, level, expected))


def test_a_colour_of_16_bits_can_be_transparent():
  """Other colours with the same 8 high bits are opaque."""
  colours = np.array([[[300, 600, 900], [301, 600, 900]], [[300, 600, 901], [65535, 0, 9]]])
  content = tf.io.encode_png(colours.astype(np.uint16)).numpy()
  key = struct.pack(">3H", 300, 600, 900)
  chunk = b"tRNS" + key
  chunk = struct.pack(">I", 6) + chunk + struct.pack(">I", zlib.crc32(chunk))
  content = content[:33] + chunk + content[33:]
  _refuse(content, "has transparency")
  read = image_files.read_image("x", "white", lambda text: None, content)
  expected = np.round(colours / 257)
  expected[0, 0] = 255
  np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
  "text, levels",
  [
    ("P1\n3 2\n1 0 1\n0 0 1\n", [[0, 255, 0], [255, 255, 0]]),
    ("P1 3 1\n# a word\n010", [[255, 0, 255]]),
    ("P2 2 1 3\n1 3\n", [[85, 255]]),
    ("P2 2 1 65535\n257 65535\n", [[1, 255]]),
  ],
)
def test_plain_pnm_is_read(text, levels):
  read = image_files.read_image("x", note=lambda text: None, content=text.encode())
  np.testing.assert_array_equal(read[..., 0], levels)


def _jp2(levels, **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(levels).save(buffer, "JPEG2000", **options)
  return buffer.getvalue()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000_of_8_bits_is_read(shape, bare):
  levels = pngs.levels(*shape)
  expected = levels if len(shape) == 3 else np.repeat(levels[..., None], 3, -1)
  np.testing.assert_array_equal(_read(_jp2(levels, no_jp2=bare)), expected)


def _changed(content, name, at, new):
  """Replaces bytes behind a name in a file."""
  at += content.index(name) + len(name)
  return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize(
  "change, words",
  [
    ((b"\xff\x4f\xff\x51", 38, b"\x0b"), "not of 8 bits"),
    ((b"\xff\x4f\xff\x51", 38, b"\x87"), "not of 8 bits"),
    ((b"\xff\x4f\xff\x51", 42, b"\2\2"), "subsampled"),
    ((b"colr", 3, struct.pack(">I", 14)), "not of sRGB"),  # CIELab.
    ((b"colr", 3, struct.pack(">I", 18)), "not of sRGB"),  # sYCC.
    ((b"colr", 3, struct.pack(">I", 12)), "not of sRGB"),  # CMYK.
  ],
)
def test_other_jpeg_2000_is_refused(change, words):
  _refuse(_changed(_jp2(pngs.levels(5, 7, 3)), *change), words)


def test_jpeg_2000_of_16_bits_is_refused():
  _refuse(_jp2(pngs.levels(5, 7).astype(np.uint16) * 257), "not of 8 bits")


def test_jpeg_2000_with_channels_in_another_order_is_refused():
  content = _jp2(pngs.levels(5, 7, 3))
  definitions = struct.pack(">H9H", 3, 0, 0, 3, 1, 0, 2, 2, 0, 1)
  box = struct.pack(">I", 8 + len(definitions)) + b"cdef" + definitions
  at = content.index(b"jp2h") - 4
  size = int.from_bytes(content[at : at + 4], "big")
  content = (
    content[:at]
    + struct.pack(">I", size + len(box))
    + content[at + 4 : at + size]
    + box
    + content[at + size :]
  )
  _refuse(content, "another order")


def test_a_compressed_file_is_named():
  _refuse(writing.pack(b"abcd", 3, 3, bytes(40)), "decompress")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_libtiff_is_silent(capfd, compression):
  buffer = io.BytesIO()
  PIL.Image.fromarray(pngs.levels(64, 64, 3)).save(buffer, "TIFF", compression=compression)
  content = bytearray(buffer.getvalue())
  content[200:2000] = bytes(1800)
  try:
    _read(bytes(content))
  except image_files.ImageError as error:
    assert "\n" not in str(error)
  assert capfd.readouterr() == ("", "")


def _heic():
  pillow_heif = pytest.importorskip("pillow_heif")
  levels = np.kron(np.arange(40, 216, 11, dtype=np.uint8).reshape(4, 4, 1), np.ones([16, 16, 3]))
  file = pillow_heif.from_bytes("RGB", (64, 64), levels.astype(np.uint8).tobytes())
  buffer = io.BytesIO()
  file.save(buffer, quality=95, chroma=444)
  return levels, buffer.getvalue()


def test_heic_is_read_where_pillow_heif_is():
  levels, content = _heic()
  np.testing.assert_allclose(_read(content), levels, atol=4)


def test_heic_names_what_reads_it(monkeypatch):
  _, content = _heic()
  monkeypatch.setitem(sys.modules, "pillow_heif", None)  # As if it were not installed.
  PIL.Image.init()
  monkeypatch.delitem(PIL.Image.OPEN, "HEIF", raising=False)
  _refuse(content, "pip install 'bmshj_minnen[evaluation]'")


def _tiff(bits, samples):
  """A TIFF of zeros, 3x4 pixels; offsets of its values are behind its nine tags."""
  data, values = bytes(-(-4 * samples * bits // 8) * 3), struct.pack("<3H", *[bits] * 3)
  start = 8 + 2 + 9 * 12 + 4
  depth = (258, 3, 3, start) if samples == 3 else (258, 3, 1, bits)
  colour = 2 if samples == 3 else 1
  tags = [(256, 3, 1, 4), (257, 3, 1, 3), depth, (259, 3, 1, 1), (262, 3, 1, colour)]
  tags += [(273, 4, 1, start + len(values)), (277, 3, 1, samples), (278, 3, 1, 3)]
  tags += [(279, 4, 1, len(data))]
  entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
  return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + values + data


@pytest.mark.parametrize("samples", [1, 3])
def test_tiffs_of_uncommon_depths_are_refused(samples):
  for bits in (8, 16):
    read = image_files.read_image("x", note=lambda text: None, content=_tiff(bits, samples))
    np.testing.assert_array_equal(read, np.zeros((3, 4, 3)))
  for bits in (10, 12, 14):
    with pytest.raises(image_files.ImageError, match="convert it to 8-bit RGB first"):
      image_files.read_image("x", content=_tiff(bits, samples))


def test_jpeg_of_12_bits_is_named():
  buffer = io.BytesIO()
  PIL.Image.fromarray(pngs.levels(8, 8, 3)).save(buffer, "JPEG")
  content = bytearray(buffer.getvalue())
  content[content.index(b"\xff\xc0") + 4] = 12
  _refuse(bytes(content), "JPEG: ")


@pytest.mark.parametrize(
  "tags, words",
  [
    ({"photometric": "separated", "extratags": [(332, 3, 1, 2, True)]}, "other inks"),
    ({"photometric": "rgb", "extratags": [(255, 3, 1, 2, True)]}, "thumbnail"),
  ],
)
def test_other_tiff_is_refused(tags, words):
  buffer = io.BytesIO()
  shape = (5, 7, 4) if tags["photometric"] == "separated" else (5, 7, 3)
  tifffile.imwrite(buffer, pngs.levels(*shape), **tags)
  _refuse(buffer.getvalue(), words)
