"""Reads and writes photographs as 8-bit sRGB arrays."""

import functools
import io
import logging
import pathlib
import struct
from typing import Callable, Optional

import numpy as np
import PIL.Image
import PIL.PngImagePlugin

from bmshj_minnen.file_tools import outputs, sources
from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import (
  colours,
  declared_colours,
  decoding,
  encoding,
  formats,
  misread_layouts,
  orientation,
)
from bmshj_minnen.images.formats import SUFFIXES

__all__ = [
  "SUFFIXES",
  "ImageError",
  "encode_image",
  "is_deep",
  "lossless_format",
  "read_image",
  "size_of_whole_picture",
  "write_image",
]

# Formats that `write_image` writes, by suffix.
_FORMATS = {"": "PNG", **encoding.LOSSLESS}
# Treatments of transparency.
ALPHA = ("white", "black", "drop")

_MODES = frozenset(("1", "L", "P", "LA", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"))
# Pillow unpacks the high byte of 16-bit colours; with the other byte order it unpacks the low byte.
_OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B"}


class ImageError(ValueError):
  """A file is not an image that can be coded; the message is one line."""


def read_image(
  path: sources.Source,
  alpha: Optional[str] = None,
  note: Callable[[str], None] = logging.getLogger(__name__).warning,
  content: Optional[bytes] = None,
  was_read: bool = False,
) -> np.ndarray:
  """Reads a photograph in any of the usual formats, upright and in sRGB.

  The EXIF orientation is applied. Colours with an embedded ICC profile are converted to sRGB, with
  relative colorimetric intent and black point compensation, unless the profile equals sRGB up to
  one level. Grey, palette and CMYK pixels become RGB, and 16 bits are rounded to 8.

  Args:
    path: path of the file, or a file opened for bytes, which is read from its beginning. Only the
      first of several pictures is read.
    alpha: treatment of transparency: "white" or "black" is the background, "drop" keeps the colours
      and ignores transparency, None refuses it. An opaque alpha channel is always dropped.
    note: called with one line for each loss: further pictures, bits, a broken profile.
    content: content of the file, bytes or a buffer, if it is read already; `path` is then only used
      in messages.
    was_read: whether the file has been read before, so that missing parts need not be looked for,
      which takes a second decoding of a JPEG.

  Returns:
    [H, W, 3] uint8.

  Raises:
    ImageError: the file is missing, damaged, not an image or not supported; has transparency while
      `alpha` is None; or has so many pixels that Pillow suspects an attack.
    TypeError: the type of `path` or `content` is not supported.
    ValueError: `alpha` has another value.
  """
  if alpha not in (None, *ALPHA):
    raise ValueError(f"alpha must be one of {', '.join(ALPHA)} or None, not {alpha!r}")
  name = sources.name_of(path)
  content = _content(path, name, content)
  image = _load(name, content, lambda text: note(f"{name}: {text}"), was_read)
  try:
    return _flattened(name, image, alpha, note)
  except (ImageError, MemoryError):
    raise
  except Exception as error:  # A missing palette is detected only here.
    raise ImageError(f"{name}: not a readable image ({_reason(error)})") from error


def _content(path, name, content):
  """The content of a file."""
  try:
    return sources.content_of(path, content)
  except FileNotFoundError as error:
    raise ImageError(f"{name}: no such file") from error
  except (OSError, ValueError) as error:
    raise ImageError(f"{name}: not a readable image ({_reason(error)})") from error


def _flattened(path, image, alpha, note):
  """8-bit sRGB levels of a decoded image without transparency, [H, W, 3] uint8."""
  if not image.has_transparency_data:
    return np.asarray(colours.to_srgb(path, image, note))
  image = image.convert("LA" if image.mode in colours.GREY_MODES else "RGBA")
  opacity = image.getchannel("A")
  opaque = colours.to_srgb(path, image, note)
  if opacity.getextrema()[0] == 255 or alpha == "drop":
    return np.asarray(opaque)
  if alpha is None:
    raise ImageError(f"{path}: has transparency; choose one of --alpha={{{','.join(ALPHA)}}}")
  background = PIL.Image.new("RGB", image.size, alpha)
  return np.asarray(PIL.Image.composite(opaque, background, opacity))


def _load(path, content, note, was_read):
  """Decodes the first picture of a file, upright, with 8 bits per channel, in one of `_MODES`."""
  try:
    with formats.open_picture(content) as image:
      misread_layouts.mend(image, content)
      _refuse_unsupported(image)
      image.info["icc_profile"] = declared_colours.profile(image, content, note)
      # The other pictures of phones' files (MPO) are previews and depth maps.
      if image.format != "MPO" and getattr(image, "is_animated", False):
        note("holds several pictures; only the first is read")
      tiles, deep = list(image.tile), is_deep(image)
      image.load() if was_read else decoding.load(image, content)
      steps = orientation.steps(image, content, note)
      if deep:
        note("more than 8 bits a channel are rounded to 8")
        image = _rounded(functools.partial(formats.open_picture, content), image, tiles)
      return functools.reduce(lambda image, step: step(image), steps, image)
  except UnsupportedImageError as error:
    raise ImageError(f"{path}: {error}") from error
  except MemoryError:
    raise
  except Exception as error:  # Damaged files make Pillow raise nearly anything.
    raise ImageError(f"{path}: not a readable image ({_reason(error)})") from error


def _reason(error):
  if isinstance(error, (TypeError, AssertionError, RecursionError, LookupError, struct.error)):
    return "it is damaged"  # The messages of these errors are about code.
  return " ".join(str(error).split()) or type(error).__name__


def _refuse_unsupported(image):
  """Raises UnsupportedImageError for files that Pillow would open, but read wrongly or unsafely."""
  raw_modes = [_raw_mode(tile) for tile in image.tile]
  problem = None
  if image.mode == "I" and image.format in ("PNG", "PPM"):
    pass  # These are 16 bits, stored in 32.
  elif image.mode not in _MODES and not image.mode.startswith("I;16"):
    problem = f"Pillow's mode {image.mode} is"
  elif any(mode.endswith(";12") for mode in raw_modes):
    problem = "12 bits per channel are"
  elif image.format == "TIFF" and max(image.tag_v2.get(258, (1,))) > 8:
    if not all(";16" in mode for mode in raw_modes):
      problem = "separate 16-bit planes are"  # Pillow misreads them.
  if problem:
    raise UnsupportedImageError(f"{problem} not supported: convert it to 8-bit RGB first")


def _raw_mode(tile):
  args = tile[3]
  return str(args[0] if isinstance(args, tuple) else args)


def is_deep(image: PIL.Image.Image) -> bool:
  """Whether an opened, but not decoded, image has more than 8 bits per channel."""
  return image.mode.startswith("I") or any(
    _raw_mode(tile)[-4:] in _OTHER_BYTE or (tile[0].startswith("ppm") and _highest(tile) > 255)
    for tile in image.tile
  )


def _highest(tile):
  """The highest level of a PPM tile; 1 for bitmaps, which do not declare it."""
  args = tile[3]
  return args[1] if isinstance(args, tuple) and isinstance(args[1], int) else 1


def _rounded(open_again, image, tiles):
  """The 8-bit image whose levels are nearest to v * 255 / 65535 = v / 257."""
  if tiles[0][0].startswith("ppm") and image.mode == "RGB":
    return image  # Pillow's reader has rounded it already.
  key = image.info.pop("transparency", None)  # A colour of 16 bits.
  if image.mode.startswith("I"):
    deep = np.asarray(image, np.uint32)
    levels = (deep + 128) // 257
    if image.format == "TIFF" and image.tag_v2.get(262) == 0:
      levels = 255 - levels  # White is zero, which Pillow handles only for 8 bits.
    return _like(image, levels, "L", None if key is None else deep == key)
  if _raw_mode(tiles[0]) == "LA;16B":
    # LA of 16 bits is as long as RGBA; v = 256 * high + low = 257 * high + (low - high).
    high_and_low = np.asarray(_reread(open_again, tiles, {"LA;16B": "RGBA"}), np.int16)
    return _like(image, _nearest(high_and_low[..., ::2], high_and_low[..., 1::2]), "LA")
  names = {_raw_mode(tile) for tile in tiles}
  low = _reread(open_again, tiles, {name: name[:-4] + _OTHER_BYTE[name[-4:]] for name in names})
  high, low = np.asarray(image), np.asarray(low)
  clear = None
  if key is not None:
    clear = ((high == np.right_shift(key, 8)) & (low == np.bitwise_and(key, 255))).all(-1)
  return _like(image, _nearest(high, low), image.mode, clear)


def _nearest(high, low):
  """The level nearest to high + (low - high) / 257."""
  difference = np.subtract(low, high, dtype=np.int16)
  return high + (difference > 128) - (difference < -128)


def _like(image, levels, mode, clear=None):
  result = PIL.Image.frombytes(mode, image.size, levels.astype(np.uint8).tobytes())
  result.info = image.info
  if clear is not None:
    result.putalpha(PIL.Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
  return result


def _reread(open_again, tiles, raw_modes):
  """Decodes a file again, with other raw modes."""
  with open_again() as image:
    image.tile = []
    for codec, box, offset, args in tiles:
      name = raw_modes[_raw_mode((codec, box, offset, args))]
      args = (name, *args[1:]) if isinstance(args, tuple) else name
      image.tile.append(type(tiles[0])(codec, box, offset, args))
    image.load()
    return image


def write_image(path: str, image: np.ndarray) -> None:
  """Writes an image in the lossless format of the path's suffix; PNG without a suffix.

  Args:
    path: path of the file.
    image: [H, W, 3] uint8, sRGB.

  Raises:
    OSError: the file cannot be written.
    TypeError: the image is not an array.
    ValueError: the image is not [H, W, 3] uint8, the suffix is not of a lossless format, or the
      image is too large for it.
  """
  outputs.write_atomically(path, encode_image(image, lossless_format(path)))


def lossless_format(path: str) -> str:
  """Pillow's name of the lossless format for the suffix of a path; PNG without a suffix.

  Raises:
    ValueError: the suffix is not of a lossless format that is written.
  """
  suffix = pathlib.Path(path).suffix.lower()
  if suffix not in _FORMATS:
    suffixes = ", ".join(filter(None, _FORMATS))
    raise ValueError(f"{path}: pictures are written without loss, with one of {suffixes}")
  return _FORMATS[suffix]


def encode_image(image: np.ndarray, image_format: str = "PNG") -> bytes:
  """Encodes an image, [H, W, 3] uint8, as the file that `write_image` writes."""
  return encoding.encode(image, image_format)


def size_of_whole_picture(path: str) -> Optional[tuple[int, int]]:
  """Height and width of a picture that can be decoded completely; None for other files."""
  try:
    content = pathlib.Path(path).read_bytes()
    # `PIL.Image.open` would refuse large PNGs as an attack.
    is_png = content.startswith(b"\x89PNG")
    opened = PIL.PngImagePlugin.PngImageFile if is_png else PIL.Image.open
    with opened(io.BytesIO(content)) as image:
      misread_layouts.mend(image, content)
      decoding.load(image, content)
      return image.height, image.width
  except MemoryError:
    raise
  except Exception:  # Damaged files make Pillow raise nearly anything.
    return None
