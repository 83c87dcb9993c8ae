"""What a photograph says besides its pixels, as far as it is kept: EXIF and XMP."""

import re
from typing import Callable, NamedTuple

import PIL.ExifTags
import PIL.Image

from bmshj_minnen.photographs import exif, formats

__all__ = ["Metadata", "read"]

# Of TIFF files, whose other tags are about how their pixels are stored.
_OF_PHOTOGRAPHS = frozenset(
  getattr(PIL.ExifTags.Base, name).value
  for name in (
    *("ImageDescription", "Make", "Model", "XResolution", "YResolution", "ResolutionUnit"),
    *("Software", "DateTime", "Artist", "Copyright", "ExifOffset", "GPSInfo"),
  )
)
_TIFF_XMP = 700


class Metadata(NamedTuple):
  """EXIF, from its TIFF header on, and XMP, an XML packet in UTF-8; empty where there is none."""

  exif: bytes = b""
  xmp: bytes = b""

  @property
  def size(self) -> int:
    """Bytes."""
    return len(self.exif) + len(self.xmp)


def read(content: bytes, note: Callable[[str], None] = lambda text: None) -> Metadata:
  """The metadata of a photograph as they are of the pixels that `images.read_image` gives.

  These are upright, so the orientation is 1, and sRGB, so there is no profile; a thumbnail would
  not have been turned, and goes.

  Args:
    content: of a file that `read_image` reads.
    note: called with one line for what is lost because it is damaged.
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
  found = image.getexif()  # Of PNG reads to the end, where they may stand.
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
