"""Decodes opened pictures, and refuses those of which a part is missing.

Pillow's decoders leave missing parts black or grey.
"""

import PIL.Image

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import jpeg

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
  file = image.fp.getvalue() if image.format in ("JPEG", "MPO") else b""
  image.load()
  if file and jpeg.lacks_pixels(image, file):
    raise UnsupportedImageError(
      "not a readable image (truncated: its pixels end early); copy or download it again"
    )
