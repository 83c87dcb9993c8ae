"""The kinds of files that are read, and what is refused because Pillow would misread it."""

import io
import struct
import zlib
from typing import Optional

import PIL.Image

__all__ = ["file_problem", "layout_problem", "open_picture"]

_READ = (
  *("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "AVIF", "QOI", "TGA"),
  "JPEG2000",
)
_SRGB_GAMMA = 1 / 2.2
_SRGB_CHROMATICITY = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_LONGEST_TEXT = 2**20  # Bytes.
_HDR_TRANSFERS = (16, 18)  # PQ and HLG.
_SDR_TRANSFERS = (1, 2, 6, 13)  # BT.709 and its like, unknown, sRGB.
_SDR_PRIMARIES = (1, 2, 5, 6)


def open_picture(content: bytes) -> PIL.Image.Image:
  """Opens a picture of one of the formats that are read, without decoding it."""
  PIL.Image.init()
  known = [name for name in _READ if name in PIL.Image.OPEN]
  return PIL.Image.open(io.BytesIO(_without_bad_texts(content)), formats=known)


def _without_bad_texts(content):
  """A PNG file without the text chunks that Pillow would fail on; other files as they are."""
  if not content.startswith(b"\x89PNG\r\n\x1a\n"):
    return content
  kept, start, at = [], 0, 8
  while at + 12 <= len(content):
    end = at + 12 + int.from_bytes(content[at : at + 4], "big")
    if end > len(content):
      break
    if content[at + 4 : at + 8] in _TEXTS and _is_bad_text(content[at + 4 : end]):
      kept.append(content[start:at])
      start = end
    at = end
  return b"".join([*kept, content[start:]]) if kept else content


def _is_bad_text(chunk):
  """Whether a chunk, from its name to its CRC, is damaged or longer than Pillow takes."""
  name, body = chunk[:4], chunk[4:-4]
  if zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:], "big") or len(body) > _LONGEST_TEXT:
    return True
  _, _, rest = body.partition(b"\0")
  if name == b"tEXt" or (name == b"iTXt" and rest[:1] != b"\1"):
    return False
  packed = rest[1:] if name == b"zTXt" else b"".join(rest[2:].split(b"\0", 2)[2:])
  try:
    inflate = zlib.decompressobj()
    return len(inflate.decompress(packed, _LONGEST_TEXT)) >= _LONGEST_TEXT or not inflate.eof
  except zlib.error:
    return True


def file_problem(content: bytes) -> Optional[str]:
  """Why a file of this signature is not read; None if it may be."""
  PIL.Image.init()
  head = content[:16]
  if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis"):
    return "a HEIC picture, which is not read: convert it to PNG first"
  if any(_accepts(name, head) for name in _READ):
    return None
  if head[:4] == b"\0\0\2\0" and head[4:6] == b"\0\0":
    return None  # TGA, which has no signature; a cursor has a number of pictures there.
  for name in PIL.Image.ID:
    if name not in _READ and _accepts(name, head):
      if name == "EPS":
        return "a program, not an image; convert it to 8-bit RGB first"
      return f"a {name} picture, which is not read: convert it to PNG first"
  return None


def _accepts(name, head):
  accept = PIL.Image.OPEN.get(name, (None, None))[1]
  try:
    return len(head) > 2 and accept is not None and accept(head) is True
  except (IndexError, struct.error):
    return False


def layout_problem(image: PIL.Image.Image, content: bytes) -> Optional[str]:
  """Why an opened file would be decoded wrongly; None if it is not known to be."""
  check = {
    "TIFF": _tiff_problem,
    "PNG": _png_problem,
    "BMP": _bmp_problem,
    "JPEG2000": _jpeg2000_problem,
    "AVIF": _avif_problem,
    "JPEG": _jpeg_problem,
  }.get(image.format)
  return check(image, content) if check else None


def _tiff_problem(image, content):
  del content
  tags = image.tag_v2
  if 50706 in tags or tags.get(254, 0) & 1:  # A thumbnail stands first in raw photographs.
    return "a raw photograph (DNG), which is not supported"
  if tags.get(262) == 6 and (tags.get(259) != 7 or tags.get(277) != 3):
    return "a TIFF picture in YCbCr, which is not supported"
  if 2 in tags.get(339, ()):
    return "of signed samples, which are not supported"
  if tags.get(262) == 3 and max(tags.get(320, (256,))) < 256:
    return "of a palette of 8-bit colours, which is not supported"
  if 274 in tags and tags.tagtype.get(274) != 3:
    return "of an orientation of a wrong type, which is not supported"
  return None


def _png_problem(image, content):
  raw_mode = str(image.tile[0][3]) if image.tile else ""
  if "transparency" in image.info and ("L;2" in raw_mode or "L;4" in raw_mode):
    return "of grey of few bits with a transparent level, which is not supported"
  at = content.find(b"\0\0\0\4cICP", 0, content.find(b"IDAT"))
  if at >= 0:
    primaries, transfer = content[at + 8], content[at + 9]
    return _coding_problem(primaries, transfer)
  if "icc_profile" in image.info or "srgb" in image.info:
    return None
  gamma = image.info.get("gamma", _SRGB_GAMMA)
  chromaticity = image.info.get("chromaticity", _SRGB_CHROMATICITY)
  if abs(gamma / _SRGB_GAMMA - 1) > 0.05 or any(
    abs(one - other) > 0.005 for one, other in zip(chromaticity, _SRGB_CHROMATICITY)
  ):
    return "of colours other than sRGB (gAMA, cHRM), which are not supported"
  return None


def _coding_problem(primaries, transfer):
  if transfer in _HDR_TRANSFERS:
    return "an HDR picture (PQ or HLG), which is not supported"
  if transfer not in _SDR_TRANSFERS or primaries not in _SDR_PRIMARIES:
    return "of colours other than sRGB, which are not supported"
  return None


def _bmp_problem(image, content):
  if image.tile and image.tile[0][0] == "bmp_rle" and content[28:29] == b"\4":
    return "of 4-bit run lengths, which are not supported"
  if content[28:30] == b"\x10\0" and content[14] >= 56 and any(content[66:70]):
    return "of 16 bits a pixel with transparency, which is not supported"
  if content[14] >= 124 and content[70:74] in (b"DEBM", b"KNIL"):
    return "of a BMP with a colour profile, which is not supported"
  return None


def _jpeg2000_problem(image, content):
  del image
  start = content.find(b"\xff\x4f\xff\x51")
  count = int.from_bytes(content[start + 40 : start + 42], "big")
  parts = content[start + 42 : start + 42 + 3 * count]
  if any(byte != 7 for byte in parts[::3]) or any(byte != 1 for byte in parts[1::3] + parts[2::3]):
    return "a JPEG 2000 picture not of 8 bits or subsampled, which is not supported"
  at = content.find(b"colr", 0, start)
  if at >= 0 and (
    content[at + 4] != 1 or content[at + 7 : at + 11] not in (b"\0\0\0\x10", b"\0\0\0\x11")
  ):
    return "a JPEG 2000 picture not of sRGB or grey, which is not supported"
  return None


def _avif_problem(image, content):
  del image
  end = content.find(b"mdat")
  if content.find(b"clap", 0, end) >= 0:
    return "of a clean aperture, which is not supported"
  at = content.find(b"colrnclx", 0, end)
  return _coding_problem(content[at + 9], content[at + 11]) if at >= 0 else None


def _jpeg_problem(image, content):
  del content
  if "icc_profile" in image.info:
    return None
  try:
    other = image.getexif().get_ifd(40965).get(1) == "R03"
  except Exception:  # Broken EXIF data do not spoil the pixels.
    return None
  return "of Adobe RGB, which is not supported without its profile" if other else None
