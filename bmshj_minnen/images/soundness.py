"""Checks that an ICC profile is plausible: the lowest levels are dark, the highest are light.

Profiles with meaningless primaries or curves load without errors, and make a picture black, white
or noise. The bounds are wide: they are far from all tested profiles of displays, working spaces and
presses (experiments/reliability/README.md).
"""

import hashlib

import numpy as np
import PIL.Image
import PIL.ImageCms

__all__ = ["has_wrong_checksum", "is_sound"]

_LEVELS = 256
# Bounds, in levels of sRGB.
_LIGHTEST_BLACK, _DARKEST_WHITE = 64, 192
_DARKEST_MIDDLE, _LIGHTEST_MIDDLE = 32, 240
_RISE, _FALL = 16, 8  # Minimum rise over the middle half of a curve, maximum fall anywhere.
_COLOUR = 64  # Minimum distance from black to the end of one channel.
_VOLUME = 0.02  # Minimum volume of the primaries; sRGB's is 0.161 in XYZ and 1 in linear sRGB.
# White of D50, and tolerance for the sum of the primaries, wide enough for daylight and lamps.
_WHITE, _WHITE_TOLERANCE = (0.9642, 1, 0.8249), (0.15, 0.15, 0.45)


def is_sound(profile, transform: PIL.ImageCms.ImageCmsTransform, mode: str) -> bool:
  """Whether a profile gives plausible colours.

  Args:
    profile: Pillow's core profile.
    transform: transform from the profile to RGB of sRGB.
    mode: mode of the pixels: RGB, L or CMYK.
  """
  ramps = np.zeros([len(mode) + 1, _LEVELS, len(mode)], np.uint8)
  for channel in range(len(mode)):
    ramps[[channel, -1], :, channel] = np.arange(_LEVELS)
  image = PIL.Image.frombytes(mode, ramps.shape[1::-1], ramps.tobytes())
  levels = np.asarray(PIL.ImageCms.applyTransform(image, transform), np.int16)
  if mode == "CMYK":
    levels = 255 - levels  # More ink is darker.
  grey, distances = levels[-1], np.abs(levels - levels[:, :1]).max(-1).T
  return (
    grey[0].max() <= _LIGHTEST_BLACK
    and grey[-1].min() >= _DARKEST_WHITE
    # Presses may print black at half of all inks.
    and (mode == "CMYK" or _is_middle(grey[_LEVELS // 2]))
    and (grey[3 * _LEVELS // 4] - grey[_LEVELS // 4]).min() >= _RISE
    and max(_fall(grey), _fall(distances)) <= _FALL
    and distances[-1].min() >= _COLOUR
    and (mode != "RGB" or _are_primaries(profile, levels[:3, -1]))
  )


def _is_middle(levels):
  return _DARKEST_MIDDLE <= levels.min() and levels.max() <= _LIGHTEST_MIDDLE


def _fall(values):
  """The largest fall of values along the first axis, from an earlier maximum."""
  return (np.maximum.accumulate(values) - values).max()


def _are_primaries(profile, levels):
  """Whether red, green and blue add up to white, and none is a mixture of the others.

  Args:
    profile: Pillow's core profile.
    levels: [primary, RGB], [3, 3]: levels in sRGB of each primary alone.
  """
  is_space = abs(np.linalg.det((levels / 255) ** 2.2)) >= _VOLUME
  if not profile.is_matrix_shaper:
    return is_space
  colorants = profile.red_colorant, profile.green_colorant, profile.blue_colorant
  if None in colorants:
    return False
  columns = np.array([xyz for xyz, _ in colorants])
  is_white = np.abs(columns.sum(0) - _WHITE) <= _WHITE_TOLERANCE
  return is_space and abs(np.linalg.det(columns)) >= _VOLUME and is_white.all()


def has_wrong_checksum(profile: bytes) -> bool:
  """Whether a profile of version 4 contains an MD5 checksum that is wrong (ICC.1, 7.2.18)."""
  held = profile[84:100]
  if profile[8:9] < b"\4" or not any(held):
    return False
  # Flags, intent and the checksum itself count as zero.
  parts = profile[:44], bytes(4), profile[48:64], bytes(4), profile[68:84], bytes(16), profile[100:]
  return hashlib.md5(b"".join(parts), usedforsecurity=False).digest() != held
