"""Converts colours from ICC profiles to sRGB."""

import io
from typing import Callable

import numpy as np
import PIL.Image
import PIL.ImageCms

from bmshj_minnen.images import soundness

__all__ = ["GREY_MODES", "to_srgb"]

GREY_MODES = frozenset(("1", "L", "LA"))
_PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SRGB_TOLERANCE = 1  # Levels.


def to_srgb(path: str, image: PIL.Image.Image, note: Callable[[str], None]) -> PIL.Image.Image:
  """Converts the colours of an image by its ICC profile to 8-bit sRGB, without the alpha channel.

  A profile that is broken or for other pixels is ignored.

  Args:
    path: name of the file, for notes.
    image: a decoded image.
    note: called with one line if the profile is ignored or has a wrong checksum.

  Returns:
    An image of mode RGB.
  """
  plain = image.convert("L" if image.mode in GREY_MODES else "RGB")
  profile = image.info.get("icc_profile")
  if not profile:
    return plain.convert("RGB")
  try:
    source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = _PROFILE_MODES[source.profile.xcolor_space]
    if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and plain.mode != "L"):
      raise ValueError("the profile is for other pixels")
    transform = PIL.ImageCms.buildTransform(
      source,
      PIL.ImageCms.createProfile("sRGB"),
      mode,
      "RGB",
      PIL.ImageCms.Intent.RELATIVE_COLORIMETRIC,
      PIL.ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    pixels = image if mode == "CMYK" else plain.convert(mode)
    if _is_identity(transform, mode):
      return pixels
    if not soundness.is_sound(source.profile, transform, mode):
      raise ValueError("the profile does not give RGB")
    if soundness.has_wrong_checksum(profile):
      note(f"{path}: its colour profile was changed after it was made; it is used as it is")
    return PIL.ImageCms.applyTransform(pixels, transform)
  except (PIL.ImageCms.PyCMSError, OSError, ValueError, KeyError):
    note(f"{path}: its colour profile is broken or for other pixels; its colours are taken as sRGB")
    return plain.convert("RGB")


def _is_identity(transform, mode):
  """Whether a transform keeps RGB up to one level; applying it would only add rounding errors."""
  if mode != "RGB":
    return False
  levels = np.arange(0, 256, 15, np.uint8)
  grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(len(levels), -1, 3)
  moved = np.asarray(PIL.ImageCms.applyTransform(PIL.Image.fromarray(grid), transform), np.int16)
  return np.abs(moved - grid).max() <= _SRGB_TOLERANCE
