"""Damaged side data cost no pixels: text, EXIF, profiles of other types, further pictures."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen.images import image_files, metadata
from tests import pngs


def _read(content):
  return image_files.read_image("x", content=content, note=pytest.fail)


_LONG = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
  "chunk",
  [
    (b"cICP", bytes([1, 13, 0, 1])),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"tEXt", b"a\0" + bytes(3_000_000)),
    (b"tIME", bytes(7), 1),
    (b"zTXt", b"a\0\0" + _LONG),
    (b"iTXt", b"a\0\1\0\0\0" + _LONG),
    (b"zTXt", b"a\0\0no stream"),
    (b"tEXt", b"a\0b", 1),
  ],
)
def test_what_stands_beside_the_pixels_costs_none(chunk):
  np.testing.assert_array_equal(
    image_files.read_image("x", note=pytest.fail, content=pngs.png(chunk)), pngs.levels(4, 6, 3)
  )


def _tiff(*more, compression=1):
  """A TIFF file with further entries, (tag, type, count, value), in its directory."""
  pixels = pngs.levels(4, 6, 3).tobytes()
  pixels = pixels if compression == 1 else zlib.compress(pixels)
  start = 8 + len(pixels)
  entries = [(256, 4, 1, 6), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, compression)]
  entries += [(262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, 4)]
  entries = sorted([*entries, (279, 4, 1, len(pixels)), *more])
  directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
  return (
    struct.pack("<2sHI", b"II", 42, start)
    + pixels
    + struct.pack("<H", len(entries))
    + directory
    + bytes(4)
  )


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # About the damage.
@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("tag", [34665, 34853, 40965])
@pytest.mark.parametrize("kind, value", [(4, 0), (4, 8), (4, 2**31), (3, 1), (7, 5), (2, 5)])
def test_directories_of_exif_that_lead_nowhere_cost_no_pixels(compression, tag, kind, value):
  """Also beside an EXIF directory, which is the picture's own here."""
  start = 8 + len(zlib.compress(pngs.levels(4, 6, 3).tobytes())) if compression == 8 else 8 + 72
  for more in ([], [(34665, 4, 1, start)]):
    entries = {entry[0]: entry for entry in [*more, (tag, kind, 1, value)]}
    content = _tiff(*entries.values(), compression=compression)
    np.testing.assert_array_equal(_read(content), pngs.levels(4, 6, 3))


def test_a_profile_of_another_type_costs_a_note():
  notes = []
  content = _tiff((34675, 2, 4, int.from_bytes(b"abc\0", "little")))
  read = image_files.read_image("x", content=content, note=notes.append)
  np.testing.assert_array_equal(read, pngs.levels(4, 6, 3))
  assert len(notes) == 1 and "colour declaration is damaged" in notes[0]


def test_a_damaged_table_of_further_pictures_costs_no_pixels():
  """Phones list previews in it; Pillow does not open files whose table is too short."""
  buffer = io.BytesIO()
  PIL.Image.fromarray(pngs.levels(8, 8, 3)).save(buffer, "JPEG")
  content = buffer.getvalue()
  entries = (0xB000, 7, 4, 808464688), (0xB001, 4, 1, 2), (0xB002, 7, 2, 0)
  table = b"MPF\0II*\0" + struct.pack("<IH", 8, 3)
  table += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
  segment = b"\xff\xe2" + struct.pack(">H", len(table) + 2) + table
  np.testing.assert_array_equal(_read(content[:2] + segment + content[2:]), _read(content))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"II*\0\xff\xff\xff\xff"])
def test_damaged_exif_costs_no_pixels(image_format, fill):
  exif, buffer = PIL.Image.Exif(), io.BytesIO()
  exif[0x010F] = "a maker of cameras"
  pixels = np.kron(pngs.levels(4, 4, 1), np.ones([8, 8, 3], np.uint8))
  PIL.Image.fromarray(pixels).save(buffer, image_format, exif=exif)
  content, data = buffer.getvalue(), exif.tobytes()[6:]
  assert content.count(data) == 1
  damaged = content.replace(data, (fill * len(data))[: len(data)])
  if image_format == "PNG":  # With its right checksum.
    at = damaged.index(b"eXIf")
    end = at + 4 + len(data)
    damaged = damaged[:end] + struct.pack(">I", zlib.crc32(damaged[at:end])) + damaged[end + 4 :]
  notes = []
  read = image_files.read_image("x", content=damaged, note=notes.append)
  np.testing.assert_array_equal(read, _read(content))
  assert all("EXIF" in note for note in notes)
  assert metadata.read(damaged).exif in (b"", data)
