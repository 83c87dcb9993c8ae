"""PNG, TIFF and JPEG 2000 files without some of their rows, strips, planes or tiles are refused.

The end of JPEG files has tests of its own.
"""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile

from bmshj_minnen.images import image_files
from tests import pngs


def _read(content):
  return image_files.read_image("x", "drop", lambda text: None, content)


def _refuse(content, words="truncated"):
  with pytest.raises(image_files.ImageError) as caught:
    _read(content)
  assert words in str(caught.value)
  assert "\n" not in str(caught.value)


def _chunk(name, body):
  return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(width, height, depth, kind, rows, *before, interlaced=0, parts=1):
  header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
  stream = zlib.compress(rows)
  step = -(-len(stream) // parts)
  palette = [_chunk(b"PLTE", bytes(range(48)))] if kind == 3 else []
  pixels = [_chunk(b"IDAT", stream[at : at + step]) for at in range(0, len(stream), step)]
  return b"\x89PNG\r\n\x1a\n" + b"".join(
    [_chunk(b"IHDR", header), *palette, *before, *pixels, _chunk(b"IEND", b"")]
  )


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_KINDS = [(1, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (1, 3), (4, 3), (8, 4), (8, 6), (16, 6)]


@pytest.mark.parametrize("depth, kind", _KINDS)
@pytest.mark.parametrize("value", [0, 1])
def test_png_with_fewer_rows_is_refused(depth, kind, value):
  """The stream is sound, and ends between two rows."""
  width, height = 13, 9
  row = b"\0" + bytes([value]) * -(-width * depth * _CHANNELS[kind] // 8)
  for count in range(height):
    _refuse(_png(width, height, depth, kind, row * count))
  for count in (height, height + 3):
    assert _read(_png(width, height, depth, kind, row * count)).shape == (height, width, 3)
  assert _read(_png(width, height, depth, kind, row * height, parts=3)).shape[0] == height


@pytest.mark.parametrize("width, height", [(1, 1), (3, 1), (1, 4), (5, 2), (9, 9), (20, 13)])
def test_interlaced_png_with_fewer_rows_is_refused(width, height):
  passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
  levels = pngs.levels(height, width)
  rows = []
  for x, y, across, down in [*passes, (0, 1, 1, 2)]:
    rows += [b"\0" + row.tobytes() for row in levels[y::down, x::across] if row.size]
  for count in range(len(rows)):
    _refuse(_png(width, height, 8, 0, b"".join(rows[:count]), interlaced=1))
  read = _read(_png(width, height, 8, 0, b"".join(rows), interlaced=1))
  np.testing.assert_array_equal(read[..., 0], levels)


def test_black_png_is_read_whatever_its_stream_expands_to():
  content = _png(2000, 1000, 8, 2, bytes(6001 * 1000 + 2**20))
  np.testing.assert_array_equal(_read(content), np.zeros([1000, 2000, 3]))
  for behind in (4, 12, 20):  # Parts of the end, and the end of the stream.
    assert _read(content[:-behind]).shape == (1000, 2000, 3)


@pytest.mark.parametrize("rows, side", [(5, 9), (9, 4)])
def test_first_frames_of_animations_are_whole(rows, side):
  first = struct.pack(">IIIIIHHBB", 0, 9, side, 0, 0, 1, 1, 0, 0)
  animation = _chunk(b"acTL", struct.pack(">II", 2, 0)), _chunk(b"fcTL", first)
  row = b"\0" + b"\5" * 9
  assert _read(_png(9, side, 8, 0, row * side, *animation)).shape == (side, 9, 3)
  _refuse(_png(9, 9, 8, 0, row * rows, *animation), "truncated" if side == 9 else "first frame")


# TIFF.

_PICTURE = np.maximum(pngs.levels(48, 40, 3), 1)


def _tiff(offsets, sizes, *, rows=16, planes=1, compression=1, data=b"", tiles=None):
  """A TIFF file of 48x40 RGB pixels; `data` begins at byte 8. Sizes may be missing."""
  entries = [(256, 4, [40]), (257, 4, [48]), (258, 3, [8] * 3), (259, 3, [compression])]
  entries += [(262, 3, [2]), (277, 3, [3]), (284, 3, [planes])]
  if tiles:
    entries += [(322, 3, [tiles]), (323, 3, [tiles]), (324, 4, offsets), (325, 4, sizes)]
  else:
    entries += [(273, 4, offsets), (278, 4, [rows]), (279, 4, sizes)]
  entries = sorted(entry for entry in entries if entry[2] is not None)
  start = 8 + len(data)
  end = start + 2 + 12 * len(entries) + 4
  directory, values = struct.pack("<H", len(entries)), b""
  for tag, kind, numbers in entries:
    packed = struct.pack(f"<{len(numbers)}{'HI'[kind == 4]}", *numbers)
    field = packed.ljust(4, b"\0")
    if len(packed) > 4:
      field = struct.pack("<I", end + len(values))
      values += packed
    directory += struct.pack("<HHI", tag, kind, len(numbers)) + field
  return struct.pack("<2sHI", b"II", 42, start) + data + directory + bytes(4) + values


_STRIP = 16 * 40 * 3
_OFFSETS, _SIZES = [8 + _STRIP * i for i in range(3)], [_STRIP] * 3


@pytest.mark.parametrize(
  "offsets, sizes, rows",
  [
    (_OFFSETS[:2], _SIZES[:2], 16),
    (_OFFSETS[:1], _SIZES[:1], 16),
    (_OFFSETS, _SIZES, 15),
    (_OFFSETS, _SIZES[:2], 16),
    (_OFFSETS, [_STRIP - 1] * 3, 16),
    (_OFFSETS, [_STRIP, _STRIP, 0], 16),
    ([*_OFFSETS[:2], 0], _SIZES, 16),
    ([*_OFFSETS[:2], 10**6], _SIZES, 16),
    (_OFFSETS[:1], [_STRIP * 3 - 1], 48),
    (_OFFSETS[:1], [_STRIP * 3 - 1], 2**32 - 1),
  ],
)
def test_tiff_without_some_strips_is_refused(offsets, sizes, rows):
  _refuse(_tiff(offsets, sizes, rows=rows, data=_PICTURE.tobytes()))


@pytest.mark.parametrize(
  "offsets, sizes, rows",
  [
    (_OFFSETS, _SIZES, 16),
    (_OFFSETS, None, 16),
    (_OFFSETS, [_STRIP + 5] * 3, 16),
    (_OFFSETS[:1], [3 * _STRIP], 48),
    (_OFFSETS[:1], [3 * _STRIP], 2**32 - 1),
    ([8, 8 + 20 * 120, 8 + 40 * 120], [2400, 2400, 960], 20),
    # Too many: the first ones count.
    ([*_OFFSETS, _OFFSETS[1]], [*_SIZES, _STRIP], 16),
    ([8, _OFFSETS[1]], [3 * _STRIP] * 2, 48),
  ],
)
def test_tiff_with_enough_strips_is_read(offsets, sizes, rows):
  content = _tiff(offsets, sizes, rows=rows, data=_PICTURE.tobytes())
  np.testing.assert_array_equal(_read(content), _PICTURE)


def test_tiff_without_some_planes_is_refused():
  data = _PICTURE.transpose(2, 0, 1).tobytes()
  size = 48 * 40
  offsets = [8 + size * i for i in range(3)]
  whole = _tiff(offsets, [size] * 3, rows=48, planes=2, data=data)
  np.testing.assert_array_equal(_read(whole), _PICTURE)
  for count in (1, 2):
    _refuse(_tiff(offsets[:count], [size] * count, rows=48, planes=2, data=data))
  _refuse(_tiff(offsets[:1], [3 * size], rows=48, planes=2, data=data))


def test_tiff_without_some_tiles_is_refused():
  padded = np.pad(_PICTURE, [(0, 0), (0, 8), (0, 0)])
  tiles = [padded[y : y + 16, x : x + 16] for y in (0, 16, 32) for x in (0, 16, 32)]
  data = b"".join(tile.tobytes() for tile in tiles)
  offsets = [8 + 768 * i for i in range(9)]
  np.testing.assert_array_equal(_read(_tiff(offsets, [768] * 9, tiles=16, data=data)), _PICTURE)
  for count in (1, 3, 6, 8):
    _refuse(_tiff(offsets[:count], [768] * count, tiles=16, data=data))
  _refuse(_tiff(offsets, [768] * 8 + [700], tiles=16, data=data))
  _refuse(_tiff([*offsets[:8], 0], [768] * 8 + [0], tiles=16, data=data))  # Sparse, as of GDAL.


@pytest.mark.parametrize("compression", [8, 5, 32773, 7])
def test_compressed_tiff_without_some_strips_is_refused(compression):
  smooth = np.linspace(9, 200, _PICTURE.size).reshape(_PICTURE.shape).astype(np.uint8)
  strips = []
  for strip in np.split(smooth, 3):
    name = {8: "tiff_adobe_deflate", 5: "tiff_lzw", 32773: "packbits"}.get(compression)
    buffer = io.BytesIO()
    if name:
      PIL.Image.fromarray(strip).save(buffer, "TIFF", compression=name)
      with PIL.Image.open(buffer) as image:
        (at,), (size,) = image.tag_v2[273], image.tag_v2[279]
      strips.append(buffer.getvalue()[at : at + size])
    else:
      PIL.Image.fromarray(strip).save(buffer, "JPEG", quality=95, keep_rgb=True)
      strips.append(buffer.getvalue())
  sizes = [len(strip) for strip in strips]
  offsets = [8 + sum(sizes[:i]) for i in range(3)]
  data = b"".join(strips)
  make = lambda *args, **options: _tiff(*args, compression=compression, data=data, **options)  # noqa: E731
  np.testing.assert_allclose(_read(make(offsets, sizes)), smooth, atol=4 * (compression == 7))
  for content in (
    make(offsets[:2], sizes[:2]),
    make(offsets, [*sizes[:2], sizes[2] // 2]),
    make(offsets, [*sizes[:2], 0]),
    make([*offsets[:2], 0], [*sizes[:2], 0]),
    make(offsets, sizes, rows=8),
    make(offsets[:2], sizes[:2], rows=24),
  ):
    _refuse(content, "not a readable image")


def test_a_scan_that_ends_early_in_a_tiff_is_refused():
  """An end marker stands behind it."""
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PICTURE).save(buffer, "JPEG", keep_rgb=True)
  whole = buffer.getvalue()
  size = len(whole)
  assert _read(_tiff([8], [size], rows=48, compression=7, data=whole)).shape == (48, 40, 3)
  cut = whole[: size // 2] + b"\xff\xd9" + whole[size // 2 + 2 :]
  _refuse(_tiff([8], [size], rows=48, compression=7, data=cut))


def test_tiff_turned_by_its_orientation_has_as_many_strips():
  levels = pngs.levels(30, 50)
  buffer = io.BytesIO()
  tags = [(274, 3, 1, 6, True)]
  tifffile.imwrite(buffer, levels, photometric="minisblack", extratags=tags, rowsperstrip=7)
  np.testing.assert_array_equal(_read(buffer.getvalue())[..., 0], np.rot90(levels, -1))


@pytest.mark.parametrize("photometric, bits", [(0, 8), (1, 4), (0, 1)])
def test_planes_that_pillow_takes_for_ordinary_bytes_are_refused(photometric, bits):
  entries = [(256, 4, 1, 8), (257, 4, 1, 2), (258, 3, 1, bits), (259, 3, 1, 1)]
  entries += [(262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 2)]
  entries += [(279, 4, 1, 16), (284, 3, 1, 2)]
  directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
  head = struct.pack("<2sHI", b"II", 42, 24) + bytes(range(16))
  _refuse(head + struct.pack("<H", len(entries)) + directory + bytes(4), "in planes of")


# JPEG 2000.


@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000_without_some_tiles_is_refused(bare):
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PICTURE).save(buffer, "JPEG2000", tile_size=(16, 32), no_jp2=bare)
  whole = buffer.getvalue()
  np.testing.assert_array_equal(_read(whole), _PICTURE)
  starts = [at for at in range(len(whole)) if whole[at : at + 4] == b"\xff\x90\0\x0a"]
  assert len(starts) == 6
  for first, last in zip(starts[1:], [*starts[2:], len(whole) - 2]):
    _refuse(whole[:first] + whole[last:])
    _refuse(whole[:first] + whole[-2:])
  parts = bytearray(whole)
  parts[starts[3] + 11] = 2  # Another part of this tile is declared.
  _refuse(bytes(parts))
