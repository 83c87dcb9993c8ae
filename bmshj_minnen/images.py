"""Files <-> 8-bit sRGB arrays."""

import io
import os
import pathlib

import numpy as np
import PIL.Image

__all__ = ["ImageError", "read_image", "write_atomically", "write_image"]

_OPAQUE_MODES = {"1", "L", "P", "RGB", "CMYK", "YCbCr"}


class ImageError(ValueError):
  """A file is not an image that can be coded; the message is one line."""


def read_image(path: str) -> np.ndarray:
  """Reads a photograph.

  Grey, palette and CMYK images are converted to RGB.

  Returns:
    [H, W, 3] uint8.

  Raises:
    ImageError: the file is missing, not an image, has an alpha channel, or more than 8 bits a
      channel.
  """
  try:
    with PIL.Image.open(path) as image:
      if image.mode not in _OPAQUE_MODES or "transparency" in image.info or _is_deep(image):
        raise ImageError(
          f"{path}: mode {image.mode} has transparency or more than 8 bits a channel; "
          f"convert it to 8-bit RGB first"
        )
      return np.asarray(image.convert("RGB"))
  except ImageError:
    raise
  except FileNotFoundError as error:
    raise ImageError(f"{path}: no such file") from error
  except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
    raise ImageError(f"{path}: not a readable image ({error})") from error


def _is_deep(image):
  """Whether a file has more than 8 bits a channel; Pillow halves 16-bit colour without a word."""
  for codec, _, _, args in image.tile:
    raw_mode, *rest = args if isinstance(args, tuple) else (args,)
    if ";16" in str(raw_mode) or (codec.startswith("ppm") and rest and rest[0] > 255):
      return True
  return False


def write_image(path: str, image: np.ndarray) -> None:
  """Writes [H, W, 3] uint8 in the lossless format of the path's suffix (PNG unless known)."""
  suffix = pathlib.Path(path).suffix.lower()
  image_format = {".ppm": "PPM", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}.get(suffix, "PNG")
  buffer = io.BytesIO()
  PIL.Image.fromarray(image).save(buffer, format=image_format)
  write_atomically(path, buffer.getvalue())


def write_atomically(path: str, data: bytes) -> None:
  """Writes a file that is either whole or not there: to a temporary name, then renamed."""
  temporary = f"{path}.{os.getpid()}.tmp"
  try:
    with open(temporary, "wb") as file:
      file.write(data)
    os.replace(temporary, path)
  except BaseException:
    pathlib.Path(temporary).unlink(missing_ok=True)
    raise
