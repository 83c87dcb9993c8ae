"""EXIF and XMP: through a compressed file and back into pictures of other kinds."""

import io
import struct

import numpy as np
import PIL.ExifTags
import PIL.Image
import pytest

from bmshj_minnen.format import reading
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.images import encoding, exif, image_files, metadata
from bmshj_minnen.images.metadata import Metadata
from tests import codecs

_XMP = b'<x:xmpmeta><rdf:li tiff:Orientation="6" dc:creator="\xc3\x85sa"/></x:xmpmeta>'
_PIXELS = codecs.photograph(24, 40)
_BASE, _IFD, _GPS = PIL.ExifTags.Base, PIL.ExifTags.IFD, PIL.ExifTags.GPS


def _exif(orientation=6):
  """EXIF like a telephone's."""
  result = PIL.Image.Exif()
  result.update(
    {
      _BASE.Make: "Maker",
      _BASE.Model: "Telephone 1",
      _BASE.Orientation: orientation,
      _BASE.DateTime: "2026:01:02 03:04:05",
      _BASE.Artist: "A. Photographer",
    }
  )
  result.get_ifd(_IFD.Exif).update(
    {
      _BASE.ExposureTime: (1, 125),
      _BASE.DateTimeOriginal: "2026:01:02 03:04:05",
      _BASE.ColorSpace: 65535,
      _BASE.MakerNote: b"\x01\x02" * 30,
      _BASE.LensModel: "Lens 1:1.8",
    }
  )
  result.get_ifd(_IFD.GPSInfo).update(
    {
      _GPS.GPSLatitudeRef: "N",
      _GPS.GPSLatitude: (48.0, 8.0, 1.5),
      _GPS.GPSLongitudeRef: "E",
      _GPS.GPSLongitude: (11.0, 34.0, 2.0),
    }
  )
  return result


def _saved(image_format, **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PIXELS).save(buffer, image_format, **options)
  return buffer.getvalue()


def _fields(content):
  """All EXIF fields that Pillow reads, without the offsets of directories."""
  with PIL.Image.open(io.BytesIO(content)) as image:
    image.load()
    found = image.getexif()
    parts = [{**found}, found.get_ifd(_IFD.Exif), found.get_ifd(_IFD.GPSInfo)]
    xmp = image.info.get("xmp", b"")
  for tag in (_IFD.Exif, _IFD.GPSInfo):
    parts[0].pop(tag, None)
  return parts, xmp


def _through_a_file(content):
  """Sends a photograph's metadata through a compressed file and returns the result."""
  data = with_metadata(
    bytes.fromhex("424d4d01010203ff01ff000200000009df44d82f") + b"payload\x00\xff",
    *metadata.read(content),
  )
  header, _ = reading.parse_intact(data)
  return Metadata(header.exif, header.xmp)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_all_fields_come_back(source, target):
  content = _saved(source, exif=_exif(), xmp=_XMP)
  if source == "PNG":
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    content = _saved("PNG", exif=_exif(), pnginfo=text)
  (main, of_exif, gps), xmp = _fields(content)
  back = encoding.encode(_PIXELS, target, metadata=_through_a_file(content))
  main = {**main, _BASE.Orientation: 1}
  of_exif = {**of_exif, _BASE.ColorSpace: 1}
  assert _fields(back) == ([main, of_exif, gps], xmp.replace(b'"6"', b'"1"'))
  assert main[_BASE.Artist] == "A. Photographer" and of_exif[_BASE.LensModel] == "Lens 1:1.8"
  assert gps[_GPS.GPSLatitude] == (48, 8, 1.5)


@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_what_was_turned_is_not_turned_again(target, tmp_path):
  """A photograph that was turned and saved with its metadata is read the same way."""
  path = tmp_path / "photograph"
  path.write_bytes(_saved("PNG", exif=_exif(6)))
  upright = image_files.read_image(str(path))
  assert upright.shape == (40, 24, 3)
  path.write_bytes(encoding.encode(upright, target, 100, _through_a_file(path.read_bytes())))
  again = image_files.read_image(str(path))
  assert np.abs(again.astype(int) - upright).mean() < 4


def test_photographs_without_metadata_have_none():
  for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
    assert metadata.read(_saved(image_format)) == Metadata()


def test_of_tiff_what_is_about_its_pixels_stays_behind():
  of_file = _exif()
  of_file[700] = _XMP
  kept = metadata.read(_saved("TIFF", exif=of_file, compression="tiff_lzw"))
  (main, *_), _ = _fields(_saved("PNG", exif=exif.PREFIX + kept.exif))
  assert main == {tag: value for tag, value in _exif().items() if tag != _BASE.Orientation}
  assert kept.xmp == _XMP.replace(b'"6"', b'"1"')


def _directory(order, *entries, following=0):
  rows = b"".join(struct.pack(f"{order}HHI4s", *entry) for entry in entries)
  return struct.pack(f"{order}H", len(entries)) + rows + struct.pack(f"{order}I", following)


def _with_thumbnail(order):
  """EXIF with a wrong colour space and a thumbnail: directories of 18, 30, 18 and 30 bytes."""

  def short(number):
    return struct.pack(f"{order}H2x", number)

  def long(number):
    return struct.pack(f"{order}I", number)

  head = (b"II*\0" if order == "<" else b"MM\0*") + long(8)
  orientation, sub = (0x0112, 3, 1, short(8)), (0x8769, 4, 1, long(38))
  main = _directory(order, orientation, sub, following=86)
  of_exif = _directory(order, (0xA001, 3, 1, short(65535)), (0xA005, 4, 1, long(68)))
  of_index = _directory(order, (1, 2, 4, b"R03\0"))
  first = head + main + of_exif + of_index
  assert len(first) == 86
  of_thumbnail = _directory(order, (0x0201, 4, 1, long(116)), (0x0202, 4, 1, long(9)))
  return first, of_thumbnail + b"thumbnail"


@pytest.mark.parametrize("order", "<>")
def test_four_places_change_and_the_thumbnail_goes(order):
  kept, thumbnail = _with_thumbnail(order)
  result = exif.of_upright_srgb(kept + thumbnail)
  assert len(result) == len(kept)
  one = struct.pack(f"{order}H", 1)
  changed = {8 + 2 + 8: one, 34: bytes(4), 38 + 2 + 8: one, 68 + 2 + 8: b"R98\0"}
  expected = bytearray(kept)
  for place, value in changed.items():
    expected[place : place + len(value)] = value
  assert result == expected
  assert exif.of_upright_srgb(result) == result


def test_a_thumbnail_in_the_middle_stays_but_is_not_named():
  first, thumbnail = _with_thumbnail("<")
  # A maker's note behind the thumbnail; its entry replaces the colour space.
  entry = struct.pack("<HHII", 0x927C, 7, 5, len(first + thumbnail))
  first = first[:40] + entry + first[52:]
  result = exif.of_upright_srgb(first + thumbnail + b"notes")
  assert result[34:38] == bytes(4) and result.endswith(b"thumbnailnotes")


def test_damaged_exif_is_refused_and_photographs_are_read_all_the_same():
  whole = b"".join(_with_thumbnail("<"))
  for size in range(len(whole)):
    try:
      exif.of_upright_srgb(whole[:size])
    except ValueError as error:
      assert str(error) == "the EXIF data are damaged"
      assert size < 116
    else:
      assert size >= 86
  notes = []
  assert metadata.read(_saved("PNG", exif=b"II*\0junk" * 3), notes.append) == Metadata()
  (note,) = notes
  assert note.endswith("damaged and not kept")


def test_what_a_format_has_no_room_for_is_told():
  kept = Metadata(b"e" * 65_528, b"x" * 65_505)
  assert encoding.fitting(kept, "PNG") == (kept, [])
  less, lines = encoding.fitting(kept, "JPEG")
  assert less == Metadata()
  assert lines == [
    "JPEG has room for 65527 bytes of EXIF: 65528 bytes of it are left out",
    "JPEG has room for 65504 bytes of XMP: 65505 bytes of it are left out",
  ]
  fits = Metadata(b"II*\0" + kept.exif[5:], kept.xmp[1:])
  assert encoding.fitting(fits, "JPEG") == (fits, [])
  with PIL.Image.open(io.BytesIO(encoding.encode(_PIXELS, "JPEG", metadata=fits))) as image:
    assert image.info["exif"] == exif.PREFIX + fits.exif
    assert image.info["xmp"] == fits.xmp
  assert encoding.fitting(fits, "BMP")[1][1] == "BMP holds no XMP: 65504 bytes of it are left out"
  assert encoding.fitting(Metadata(), "BMP") == (Metadata(), [])
