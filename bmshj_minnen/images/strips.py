"""Strips and tiles of TIFF files (TIFF 6.0, sections 3, 15 and 22).

Without compression, Pillow reads as many as there are offsets, whatever their sizes are.
libtiff reads the other files, and refuses those of which a part is missing, except in JPEG data.
"""

import io

import PIL.Image
import PIL.JpegImagePlugin

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import jpeg

__all__ = ["keep_needed"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _ROWS, _PLANES = 256, 257, 258, 259, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _JPEG_TABLES = 322, 323, 347
_STRIP_OFFSETS, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 273, 279, 324, 325
_JPEG = 7
_HEADER = 8  # Bytes.


def keep_needed(image: PIL.Image.Image, content: bytes) -> None:
  """Leaves out the strips or tiles that are too many.

  Args:
    image: an opened TIFF image that is not decoded yet; changed in place.
    content: content of the file.

  Raises:
    UnsupportedImageError: strips or tiles are missing, too short, or outside the file.
  """
  tags = image.tag_v2
  of_libtiff = image.tile[0][0] == "libtiff"
  if of_libtiff and tags.get(_COMPRESSION) != _JPEG:
    return
  width, height = tags[_WIDTH], tags[_HEIGHT]  # Pillow's size is that of the upright picture.
  in_strips = _STRIP_OFFSETS in tags
  offsets = tags[_STRIP_OFFSETS if in_strips else _TILE_OFFSETS]
  sizes = tags.get(_STRIP_SIZES if in_strips else _TILE_SIZES)
  rows = max(tags.get(_ROWS, height) if in_strips else tags[_TILE_HEIGHT], 1)
  columns = max(width if in_strips else tags[_TILE_WIDTH], 1)
  in_planes = tags.get(_PLANES, 1) == 2
  across, down = -(-width // columns), -(-height // rows)
  needed = across * down * (len(image.getbands()) if in_planes else 1)
  filled = (min(rows, height - rows * (i // across % down)) for i in range(needed))
  problem = None
  if len(offsets) < needed or (sizes is not None and len(sizes) < needed):
    problem = "strips or tiles are missing"
  elif any(not _HEADER <= offset < len(content) for offset in offsets[:needed]):
    problem = "strips or tiles are outside the file"
  elif of_libtiff and sizes is not None:
    if any(map(_lacks_pixels_of_jpeg, _streams(tags, content, offsets, sizes), filled)):
      problem = "strips or tiles end early"
  elif sizes is not None:
    size_of_row = _size_of_row(tags, columns, in_planes)
    if any(size < count * size_of_row for size, count in zip(sizes, filled)):
      problem = "strips or tiles are too short"
  if problem:
    raise UnsupportedImageError(
      f"not a readable image (truncated: {problem}); copy or download it again"
    )
  if not of_libtiff:
    image.tile = image.tile[:needed]
    if needed == 1:  # Pillow takes the last of several.
      codec, box, _, args = image.tile[0]
      image.tile = [type(image.tile[0])(codec, box, offsets[0], args)]


def _size_of_row(tags, columns, in_planes):
  """Bytes of a row of a strip or tile."""
  bits = tags.get(_BITS, (1,))
  if in_planes:
    bits = bits[:1]
  elif len(bits) == 1:
    bits *= tags.get(_SAMPLES, 1)
  return -(-columns * sum(bits) // 8)


def _streams(tags, content, offsets, sizes):
  """The JPEG files of the strips or tiles, with the tables that they share."""
  shared = tags.get(_JPEG_TABLES, b"")[:-2]  # Without its end marker.
  for offset, size in zip(offsets, sizes):
    stream = content[offset : offset + size]
    yield jpeg.with_end(shared + stream[2:] if shared else stream)


def _lacks_pixels_of_jpeg(stream, rows):
  try:
    image = PIL.JpegImagePlugin.JpegImageFile(io.BytesIO(stream))
  except SyntaxError:
    return False  # Not of 1, 3 or 4 components, or so damaged that libtiff refuses it.
  with image:
    image.load()
    return image.height < rows or jpeg.lacks_pixels(image, stream)
