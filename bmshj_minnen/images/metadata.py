"""Metadata of photographs that are kept: EXIF and XMP."""

import re
from typing import Callable, NamedTuple

import PIL.ExifTags
import PIL.Image

from bmshj_minnen.images import exif, formats

__all__ = ["Metadata", "read"]

# Tags that are kept from TIFF files; the others describe how pixels are stored.
_OF_PHOTOGRAPHS = frozenset(
  getattr(PIL.ExifTags.Base, name).value
  for name in (
    *("ImageDescription", "Make", "Model", "XResolution", "YResolution", "ResolutionUnit"),
    *("Software", "DateTime", "Artist", "Copyright", "ExifOffset", "GPSInfo"),
  )
)
_TIFF_XMP = 700


class Metadata(NamedTuple):
  """Metadata of a photograph.

  Attributes:
    exif: EXIF data from the TIFF header on; may be empty.
    xmp: XMP, an XML packet in UTF-8; may be empty.
  """

  exif: bytes = b""
  xmp: bytes = b""

  @property
  def size(self) -> int:
    """Size in bytes."""
    return len(self.exif) + len(self.xmp)


def read(content: bytes, note: Callable[[str], None] = lambda text: None) -> Metadata:
  """The metadata of a photograph, adapted to the pixels that `image_files.read_image` returns.

  These pixels are upright and sRGB, so the orientation becomes 1, and the profile is left out. The
  thumbnail is removed, because it was not turned.

  Args:
    content: content of a file that `read_image` reads.
    note: called with one line if damaged metadata are lost.
  """
  try:
    with formats.open_picture(content) as image:
      data, xmp = _exif(image), _xmp(image)
  except MemoryError:
    raise
  except Exception:  # Damaged metadata make Pillow raise nearly anything.
    note("its metadata are damaged and not kept")
    return Metadata()
  try:
    return Metadata(exif.of_upright_srgb(data) if data else b"", _upright(xmp))
  except ValueError as error:
    note(f"{error} and not kept")
    return Metadata(b"", _upright(xmp))


def _exif(image):
  found = image.getexif()  # Reads PNG to the end, where EXIF may be.
  data = image.info.get("exif", b"")
  if image.format == "TIFF":
    for tag in list(found):
      if tag not in _OF_PHOTOGRAPHS:
        del found[tag]
    data = b""
  if not data and found:
    data = found.tobytes()
  return data[len(exif.PREFIX) :] if data.startswith(exif.PREFIX) else data


def _xmp(image):
  xmp = image.info.get("xmp", b"")
  if image.format == "TIFF":
    xmp = image.tag_v2.get(_TIFF_XMP, xmp)
  return xmp.encode() if isinstance(xmp, str) else bytes(xmp)


def _upright(xmp):
  return re.sub(rb'(tiff:Orientation\s*(?:=\s*["\']|>\s*))\d', rb"\g<1>1", xmp)
