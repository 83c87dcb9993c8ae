"""BMP files of few bits and of run lengths."""

import struct

import numpy as np
import PIL
import pytest

from bmshj_minnen.images import image_files


def _read(content):
  return image_files.read_image("x", content=content, note=pytest.fail)


def _refuse(content, words):
  with pytest.raises(image_files.ImageError, match=words):
    image_files.read_image("x", content=content)


def _bmp(pixels, bits, compression, masks=(), header=40):
  """A BMP file of rows of bytes, the lowest first; the palette is red, green, blue and black."""
  palette = bytes([0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0]).ljust(64, b"\0") if bits == 4 else b""
  start = 14 + max(header, 40 + 4 * len(masks)) + len(palette)
  info = struct.pack("<IiiHHIIiiII", header, 4, 2, 1, bits, compression, len(pixels), 0, 0, 0, 0)
  info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(start - 14 - len(palette), b"\0")
  return struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + info + palette + pixels


def test_bmp_of_5_6_and_5_bits():
  levels = np.arange(24).reshape(2, 4, 3) % 32
  stored = levels[..., 0] << 11 | levels[..., 1] * 2 << 5 | levels[..., 2]
  pixels = stored[::-1].astype("<u2").tobytes()
  read = _read(_bmp(pixels, 16, 3, (0xF800, 0x7E0, 0x1F)))
  np.testing.assert_allclose(read, levels * [255 / 31, 2 * 255 / 63, 255 / 31], atol=1)


def test_bmp_of_16_bits_with_transparency_is_refused():
  _refuse(_bmp(bytes(16), 16, 3, (0x7C00, 0x3E0, 0x1F, 0x8000), 56), "with transparency")


def test_4_bit_run_lengths_are_right_or_refused():
  """Three literal pixels in two bytes, and one repeated: the second row, then the first."""
  runs = b"\0\3\x01\x20" + b"\1\x33" + b"\0\0" + b"\3\x12" + b"\1\0" + b"\0\1"
  red, green, blue, black = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]])
  content = _bmp(runs, 4, 2)
  if int(PIL.__version__.split(".")[0]) < 13:
    return _refuse(content, "Pillow 13")
  expected = [[green, blue, green, red], [red, green, blue, black]]
  np.testing.assert_array_equal(_read(content), expected)


_RANDOM = np.random.default_rng(0)
_GREYS = np.repeat(np.arange(256)[:, None], 3, 1)
# Pillow does not treat grey levels, or black and white alone, as palettes.
_PALETTES = {
  "black and white": _GREYS[[0, 255]],
  "white and black": _GREYS[[255, 0]],
  "black": _GREYS[:1],
  "three levels": _GREYS[:3],
  "sixteen levels": _GREYS[:16],
  "sixteen greys": _GREYS[::17],
  "sixteen colours": _RANDOM.integers(0, 256, [16, 3]),
  "200 levels": _GREYS[:200],
  "all levels": _GREYS,
  "256 colours": _RANDOM.integers(0, 256, [256, 3]),
}


def _with_palette(indices, palette, bits, header, run_lengths):
  """A BMP file; its rows are padded to whole words of 32 bits."""
  rows = b""
  for row in indices[::-1]:
    if run_lengths:
      rows += b"".join(bytes([1, index]) for index in row) + b"\0\0"
    else:
      stored = "".join(f"{index:0{bits}b}" for index in row)
      stored = stored.ljust(-(-len(stored) // 32) * 32, "0")
      rows += int(stored, 2).to_bytes(len(stored) // 8, "big")
  height, width = indices.shape
  if header == 12:
    info = struct.pack("<IHHHH", 12, width, height, 1, bits)
  else:
    sizes = struct.pack("<IiiHH", header, width, height, 1, bits)
    info = sizes + struct.pack("<IIiiII", run_lengths, len(rows), 0, 0, len(palette), 0)
  colours = np.pad(palette[:, ::-1], [(0, 0), (0, int(header > 12))]).astype(np.uint8).tobytes()
  info = info.ljust(header, b"\0") + colours
  start = 14 + len(info)
  return struct.pack("<2sIII", b"BM", start + len(rows), 0, start) + info + rows


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("name", _PALETTES)
def test_any_palette_is_looked_up(bits, name):
  palette = _PALETTES[name]
  if len(palette) > 1 << bits:
    return
  indices = np.random.default_rng(1).integers(0, len(palette), [6, 19])
  for header in (12, 40, 56, 64, 108, 124):
    if header == 12 and len(palette) < 1 << bits:
      continue  # Palettes of this header are complete.
    for run_lengths in {False, bits == 8 and header > 12}:
      content = _with_palette(indices, palette, bits, header, run_lengths)
      np.testing.assert_array_equal(_read(content), palette[indices], (header, run_lengths))
