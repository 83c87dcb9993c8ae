"""Corrects or refuses layouts of known formats that Pillow would misread."""

import struct

import PIL
import PIL.Image
import PIL.ImagePalette
import PIL.TiffTags

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import boxes, jpeg2000, strips

__all__ = ["mend"]

_ADVICE = "convert it to 8-bit RGB first"

# Tags of TIFF.
_SUBFILE, _OLD_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _SAMPLES = 254, 255, 259, 262, 277
_BITS, _FILL_ORDER, _PLANES, _COLOUR_MAP, _INKS = 258, 266, 284, 320, 332
_SAMPLE_FORMAT, _DNG = 339, 50706
_PALETTE, _CMYK, _YCBCR, _JPEG = 3, 5, 6, 7


def mend(image: PIL.Image.Image, content: bytes) -> None:
  """Changes an opened image so that Pillow decodes it correctly.

  Args:
    image: an opened image that is not decoded yet; changed in place.
    content: content of the file.

  Raises:
    UnsupportedImageError: the image would still be decoded wrongly.
  """
  change = {
    "TIFF": _mend_tiff,
    "PNG": _mend_png,
    "BMP": _mend_bmp,
    "JPEG2000": _check_jpeg2000,
  }.get(image.format)
  problem = change(image, content) if change else None
  if problem:
    raise UnsupportedImageError(f"{problem}, which is not supported: {_ADVICE}")


def _mend_tiff(image, content):
  tags = image.tag_v2
  photometric = tags.get(_PHOTOMETRIC)
  if (
    _DNG in tags
    or tags.get(_SUBFILE, 0) & 1
    or tags.get(_OLD_SUBFILE) == 2
    or content[8:10] == b"CR"
  ):
    return "a raw photograph (such as DNG) or one whose thumbnail stands first"
  if photometric == _YCBCR and (
    tags.get(_COMPRESSION) != _JPEG or tags.get(_SAMPLES) != 3 or tags.get(_PLANES, 1) != 1
  ):
    return "a TIFF picture in YCbCr"
  if photometric == _CMYK and tags.get(_INKS, 1) != 1:
    return "a TIFF picture of other inks than CMYK"
  if any(kind not in (1, 4) for kind in tags.get(_SAMPLE_FORMAT, ())):
    return "a TIFF picture of signed or floating-point samples"
  if tags.get(_PLANES, 1) == 2 and image.tile[0][0] != "libtiff":
    # Pillow takes the planes for ordinary bytes, of which 0 is dark.
    if photometric == 0 or tags.get(_FILL_ORDER, 1) == 2 or min(tags.get(_BITS, (1,))) < 8:
      return "a TIFF picture in planes of fewer than 8 bits, or of inverted levels"
  if photometric == _PALETTE and _COLOUR_MAP in tags and max(tags[_COLOUR_MAP], default=0) < 256:
    # Entries should have 16 bits; some writers use 8, which libtiff detects in the same way.
    image.palette = PIL.ImagePalette.raw("RGB;L", bytes(tags[_COLOUR_MAP]))
  _drop_damaged_directories(image.getexif())
  strips.keep_needed(image, content)
  return None


def _drop_damaged_directories(exif):
  """Removes damaged directories of EXIF, which would end Pillow's decoding."""
  for tag in PIL.TiffTags.TAGS_V2_GROUPS:
    try:
      exif.get_ifd(tag)
    except Exception:  # Damaged directories make Pillow raise nearly anything.
      exif.pop(tag, None)


def _mend_png(image, content):
  del content
  if image.tile and image.tile[0][1] != (0, 0, *image.size):
    return "an animated PNG picture whose first frame is smaller than the whole"
  raw_mode = str(image.tile[0][3]) if image.tile else ""
  level = image.info.get("transparency")
  if isinstance(level, int) and image.mode in ("1", "L"):
    # Pillow scales levels of fewer than 8 bits to 255, but not the transparent level.
    bits = 1 if image.mode == "1" else int(raw_mode.partition(";")[2] or 8)
    image.info["transparency"] = (level & 2**bits - 1) * 255 // (2**bits - 1)
  return None


def _mend_bmp(image, content):
  _mend_palette_of_bmp(image, content)
  is_rle = bool(image.tile) and image.tile[0][0] == "bmp_rle"
  if is_rle and content[28:29] == b"\4" and int(PIL.__version__.split(".")[0]) < 13:
    return "a BMP picture of 4-bit run lengths (Pillow 13 reads it)"
  bits, compression = struct.unpack_from("<H", content, 28)[0], content[30:31]
  if content[14] >= 56 and bits == 16 and compression == b"\3" and any(content[66:70]):
    return "a BMP picture of 16 bits a pixel with transparency"
  return None


def _mend_palette_of_bmp(image, content):
  """Restores grey palettes that Pillow replaces by pixels of 1 or 8 bits, whatever the depth is."""
  header = content[14]
  bits = content[24 if header == 12 else 28]
  if image.mode not in ("1", "L") or (bits, image.mode) in ((1, "1"), (8, "L")):
    return
  colour = "BGR" if header == 12 else "BGRX"
  colours = struct.unpack_from("<I", content, 46)[0] if header > 12 else 0
  palette = content[14 + header :][: len(colour) * (colours or 1 << bits)]
  image._mode, image.palette = "P", PIL.ImagePalette.raw(colour, palette)
  (codec, box, offset, (_, *args)) = image.tile[0]
  raw_mode = "P" if bits == 8 or codec == "bmp_rle" else f"P;{bits}"
  image.tile = [type(image.tile[0])(codec, box, offset, (raw_mode, *args))]


def _check_jpeg2000(image, content):
  del image
  start = content.find(jpeg2000.CODESTREAM)
  count = int.from_bytes(content[start + 40 : start + 42], "big")
  parts = content[start + 42 : start + 42 + 3 * count]
  if start < 0 or len(parts) != 3 * count:
    return "a JPEG 2000 picture without a header"
  if any(byte != 7 for byte in parts[::3]):
    # Pillow 13.0.0 reads white as black in colour pictures of 9 to 16 bits.
    return "a JPEG 2000 picture not of 8 bits (Pillow misreads it, OpenCV does not)"
  if any(byte != 1 for byte in parts[1::3] + parts[2::3]):
    return "a JPEG 2000 picture of subsampled colours"
  if start == 0:
    return None if count in (1, 3) else "a JPEG 2000 picture of unknown colours"
  return _jp2_problem(content, count)


def _jp2_problem(content, count):
  """Why Pillow would misread the channels of a JP2 file; None if it would not."""
  header = boxes.find(content, b"jp2h")
  if any(box.name in (b"pclr", b"cmap") for box in boxes.boxes(header)):
    return "a JPEG 2000 picture with a palette"
  colour = boxes.find(header, b"colr")
  if colour[:1] == b"\1":
    colours = {b"\0\0\0\x10": 3, b"\0\0\0\x11": 1}.get(colour[3:7])
  elif colour[:1] in (b"\2", b"\3"):
    colours = {b"RGB ": 3, b"GRAY": 1}.get(colour[19:23])
  else:
    colours = None
  if colours is None:
    return "a JPEG 2000 picture not of sRGB or grey"
  definitions = boxes.find(header, b"cdef")[2:]
  channels = sorted(zip(*[iter(struct.unpack(f">{len(definitions) // 2}H", definitions))] * 3))
  usual = [(i, 0, i + 1) for i in range(colours)] + [(colours, 1, 0)] * (count == colours + 1)
  if count not in (colours, colours + 1) or channels != (channels and usual):
    return "a JPEG 2000 picture whose channels are in another order"
  if count > colours and not channels:
    return "a JPEG 2000 picture with a channel of unknown use"
  return None
