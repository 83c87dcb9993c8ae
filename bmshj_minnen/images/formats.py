"""Formats of pictures that are read; other formats are refused by name."""

import ctypes
import functools
import io
import re
import struct
from typing import Optional

import PIL._imaging
import PIL.Image

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.format import fields
from bmshj_minnen.images import boxes, items, jpeg, png

__all__ = ["SUFFIXES", "open_picture"]

_READ = (
  *("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "HEIF", "QOI", "TGA"),
  "JPEG2000",
)
# Suffixes of the photographs that are found in folders.
SUFFIXES = frozenset(
  f".{suffix}"
  for suffix in (
    "png apng jpg jpeg jpe jfif mpo webp tif tiff bmp gif ppm pgm pbm pnm jp2 j2k j2c jpc jpf jpx "
    "avif avifs heic heif hif qoi tga icb vda vst"
  ).split()
)
_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"))
_TURNS = frozenset((b"clap", b"irot", b"imir"))
# Properties that the decoders of AVIF and HEIC know, or that do not concern pixels.
_PROPERTIES = frozenset(
  (
    *(b"a1lx", b"a1op", b"amve", b"auxC", b"av1C", b"cclv", b"clap", b"clli", b"colr", b"hvcC"),
    *(b"imir", b"irot", b"ispe", b"lhvC", b"lsel", b"mdcv", b"pasp", b"pixi"),
  )
)
# Offsets and signatures of formats that Pillow does not know, or mistakes for others.
_OTHERS = (
  (0, b"\xff\x0a", "JPEG XL"),
  (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
  (0, b"v/1\1", "OpenEXR"),
  (0, b"#?RADIANCE", "Radiance HDR"),
  (0, b"#?RGBE", "Radiance HDR"),
  (0, b"II\xbc", "JPEG XR"),
  (0, b"gimp xcf", "GIMP"),
  (0, b"BPG\xfb", "BPG"),
  (0, b"FLIF", "FLIF"),
  (0, b"\x8aMNG", "MNG"),
  (0, b"\x8bJNG", "JNG"),
  (0, b"P7", "PAM"),
  (0, b"%PDF", "PDF"),
  (0, b"PF", "PFM"),
  (0, b"Pf", "PFM"),
  (0, b"MM\0+", "big-endian BigTIFF"),
  (0, b"IIRO", "raw"),
  (0, b"IIRS", "raw"),
  (0, b"IIU\0", "raw"),
  (0, b"FUJIFILMCCD-RAW", "raw"),
  (0, b"FOVb", "raw"),
  (6, b"HEAPCCDR", "raw"),
  (4, b"ftypcrx ", "raw"),
)
_LONGEST_PROLOGUE = 2**12  # Bytes of XML before the first element.


def open_picture(content: bytes) -> PIL.Image.Image:
  """Opens a picture of one of the formats that are read, without decoding it.

  Raises:
    UnsupportedImageError: the picture has another format, or a kind that Pillow does not read.
    Exception: any error of Pillow for damaged files.
  """
  PIL.Image.init()
  _silence_libtiff()
  _refuse_other(content)
  content = jpeg.with_end(png.without_bad_side_data(content))
  known = [name for name in _READ if name in PIL.Image.OPEN]
  try:
    return PIL.Image.open(io.BytesIO(content), formats=known)
  except Exception as error:  # Damaged files make Pillow raise nearly anything.
    less = _without_side_data(content)
    if less != content:
      return open_picture(less)
    if not isinstance(error, PIL.UnidentifiedImageError):
      raise
    _refuse_kind(content)
    reason = "unknown format" if content else "the file is empty"
    if content.startswith(b"\xff\xd8"):
      reason = "a damaged JPEG picture"  # There are other bytes before its first marker.
    raise UnsupportedImageError(f"not a readable image ({reason})") from error


def _without_side_data(content):
  """A JPEG or AVIF file with new names for side data, so that Pillow skips damaged ones."""
  if content.startswith(b"\xff\xd8"):
    return content.replace(b"MPF\0", b"----")
  return re.sub(rb"(infe.{8})Exif", rb"\1----", content, flags=re.S)


def _refuse_other(content):
  """Raises UnsupportedImageError for the signatures of other formats."""
  head = content[:16]
  if head.startswith(fields.MAGIC):
    raise UnsupportedImageError("a compressed file, not a photograph: decompress reads it")
  brands = boxes.brands(content)
  if brands & _AVIF:
    _refuse_items(content, "an AVIF picture")
    return
  if brands & _HEIC:
    _register_heif()
    _refuse_items(content, "a HEIC picture")
    return
  other = next((name for at, sign, name in _OTHERS if head.startswith(sign, at)), None)
  other = other or ("SVG" if _is_svg(content) else _name_by_pillow(head))
  if other == "EPS":
    raise UnsupportedImageError("a program, not an image; convert it to 8-bit RGB first")
  if other:
    raise UnsupportedImageError(
      f"a picture in {other} format, which is not read: convert it to PNG first"
    )


def _refuse_items(content, picture):
  """Raises UnsupportedImageError for AVIF and HEIC files that the decoders would show wrongly."""
  whole, *parts = items.shown(content) or [items.Item(b"")]
  problem = None
  if picture == "an AVIF picture":
    if whole.kind not in (b"av01", b"grid", b"trak", b""):  # Damaged files have none.
      problem = "made of others otherwise than as a grid"
    elif any(box.name in _TURNS for part in parts for box in part.properties):
      problem = "whose parts are cut or turned"
  unknown = frozenset().union(*(item.essential for item in (whole, *parts))) - _PROPERTIES
  if unknown:
    names = ", ".join(sorted(repr(name.decode("latin1")) for name in unknown))
    problem = f"with essential properties that are not known ({names})"
  if problem:
    raise UnsupportedImageError(
      f"{picture} {problem}, which is not supported: convert it to PNG first"
    )


def _is_svg(content):
  """Whether the first element, after a byte order mark, declarations and comments, is svg."""
  text = content[:_LONGEST_PROLOGUE].removeprefix(b"\xef\xbb\xbf").lstrip()
  while text.startswith((b"<?", b"<!")):
    end = b"-->" if text.startswith(b"<!--") else b">"
    if b"[" in text.partition(b">")[0]:
      end = b"]>"  # The end of a document type with definitions.
    text = text.partition(end)[2].lstrip()
  return re.match(rb"<(\w+:)?svg\b", text) is not None


def _register_heif():
  if "HEIF" in PIL.Image.OPEN:
    return
  try:
    import pillow_heif
  except ImportError as error:
    raise UnsupportedImageError(
      "a HEIC picture, which pillow-heif reads: pip install 'bmshj_minnen[evaluation]', or convert "
      "it to PNG first"
    ) from error
  pillow_heif.register_heif_opener()


def _name_by_pillow(head) -> Optional[str]:
  """The name of a format that is not read, by its signature; None if the file may be readable."""
  if any(_accepts(name, head) for name in _READ):
    return None
  if head[:6] == b"\0\0\2\0\0\0":
    return None  # TGA, which has no signature; a cursor file has a number of pictures there.
  others = (name for name in PIL.Image.ID if name not in _READ and _accepts(name, head))
  return next(others, None)


def _accepts(name, head):
  accept = PIL.Image.OPEN.get(name, (None, None))[1]
  try:
    return len(head) > 2 and accept is not None and accept(head) is True
  except (IndexError, struct.error):
    return False


def _refuse_kind(content):
  """Raises UnsupportedImageError with Pillow's reason for a file whose signature is known."""
  for name in _READ:
    if not _accepts(name, content[:16]):
      continue
    try:
      PIL.Image.OPEN[name][0](io.BytesIO(content), "").close()
    except Exception as error:  # Damaged files make Pillow raise nearly anything.
      text = " ".join(str(error).split())
      if isinstance(error, SyntaxError) and str(error.__cause__) != str(error):
        why = f"not a readable image ({name}: {text}); convert it to 8-bit RGB first"
      else:  # The message is about Pillow's own code.
        why = f"not a readable image (a damaged {name} picture)"
      raise UnsupportedImageError(why) from error


@functools.cache
def _silence_libtiff():
  """Turns off libtiff's messages, which name internal files; Pillow raises the errors."""
  try:
    library = ctypes.CDLL(PIL._imaging.__file__)  # Finds symbols of linked libraries, too.
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
      getattr(library, name).restype = ctypes.c_void_p
      getattr(library, name)(None)
  except (AttributeError, OSError):
    pass
