"""Decodes opened pictures, and refuses those of which a part is missing.

Pillow's decoders leave missing parts black or grey.
"""

import PIL.Image

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import jpeg, jpeg2000, png

__all__ = ["load"]


def load(image: PIL.Image.Image, content: bytes) -> None:
  """Decodes the pixels of an opened picture.

  Args:
    image: an opened image; changed in place.
    content: content of the file.

  Raises:
    UnsupportedImageError: a part of the pixels is missing.
    Exception: any error of Pillow for damaged files.
  """
  is_jpeg = image.format in ("JPEG", "MPO")
  image.load()
  problem = None
  if is_jpeg and jpeg.lacks_pixels(image, jpeg.with_end(content)):
    problem = "its pixels end early"
  elif image.format == "PNG" and _may_lack_rows(image) and png.lacks_pixels(content):
    problem = "rows are missing"
  elif image.format == "JPEG2000" and jpeg2000.lacks_tiles(content):
    problem = "tiles are missing"
  if problem:
    raise UnsupportedImageError(
      f"not a readable image (truncated: {problem}); copy or download it again"
    )


def _may_lack_rows(image):
  """Whether the last row is as Pillow leaves it: most pictures need no other look at the stream."""
  last_row = image.crop((0, image.height - 1, image.width, image.height))
  return image.info.get("interlace") or not any(last_row.tobytes())
