"""Turns and crops the stored pixels of a file for display.

EXIF or, without an orientation there, XMP contains an orientation. AVIF and HEIC instead use
properties of the picture (ISO 23008-12, 6.5): pillow-heif applies them all, Pillow only some of
AVIF's.
"""

import fractions
import struct
from typing import Callable

import PIL.ExifTags
import PIL.Image

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import items

__all__ = ["steps"]

_TURN = PIL.Image.Transpose
# The inverse of each orientation of EXIF.
_TURNS = dict(
  enumerate(
    (
      *(_TURN.FLIP_LEFT_RIGHT, _TURN.ROTATE_180, _TURN.FLIP_TOP_BOTTOM, _TURN.TRANSPOSE),
      *(_TURN.ROTATE_270, _TURN.TRANSVERSE, _TURN.ROTATE_90),
    ),
    2,
  )
)
# By the anticlockwise quarter turns of an irot property, and by the axis of imir.
_ROTATIONS = (None, _TURN.ROTATE_90, _TURN.ROTATE_180, _TURN.ROTATE_270)
_MIRRORS = (_TURN.FLIP_TOP_BOTTOM, _TURN.FLIP_LEFT_RIGHT)

_ADVICE = "convert it to 8-bit RGB first"


def steps(
  image: PIL.Image.Image, content: bytes, note: Callable[[str], None]
) -> list[Callable[[PIL.Image.Image], PIL.Image.Image]]:
  """Functions that turn and crop the decoded pixels of a file, in order.

  Args:
    image: the decoded image.
    content: content of the file.
    note: called with one line if damaged data are ignored.

  Raises:
    UnsupportedImageError: here or in a step: a clean aperture has borders within pixels or outside
      the picture.
  """
  if image.format == "HEIF":
    return []
  if image.format == "AVIF":
    shown = items.shown(content)
    properties = shown[0].properties if shown else []
    sizes = [struct.unpack_from(">II", box.body, 4) for box in properties if box.name == b"ispe"]
    if not sizes or sizes[0] == image.size:  # Another Pillow may have done all of it.
      return list(filter(None, map(_step_of_property, properties)))
  turn = _turn(image, note)
  return [] if turn is None else [lambda image: image.transpose(turn)]


def _turn(image, note):
  """The turn that makes pixels upright; None if they are upright already."""
  try:
    # Pillow reads XMP if EXIF has no orientation.
    value = image.getexif().get(PIL.ExifTags.Base.Orientation, 1)
    if isinstance(value, (bytes, tuple)):  # The type is not valid, but occurs.
      value = value[0]
    return _TURNS.get(value)
  except Exception:  # Damaged EXIF makes Pillow raise nearly anything.
    note("its EXIF data are broken; a rotation in them would be lost")
    return None


def _step_of_property(box):
  """Function that applies a property of an AVIF picture to pixels; None if it changes nothing."""
  if box.name == b"clap":
    return lambda image: image.crop(_clean_aperture(box.body, image.size))
  turn = None
  if box.name == b"irot":
    turn = _ROTATIONS[box.body[0] & 3]
  elif box.name == b"imir":
    turn = _MIRRORS[box.body[0] & 1]
  return None if turn is None else lambda image: image.transpose(turn)


def _clean_aperture(body, size):
  """Left, top, right and bottom of the displayed part of a picture."""
  values = struct.unpack(">4IiIiI", body[:32])
  if not all(values[1::2]):
    raise UnsupportedImageError(f"an AVIF picture whose clean aperture is damaged: {_ADVICE}")
  box = []
  for whole, at in zip(size, (0, 2)):
    length = fractions.Fraction(*values[at : at + 2])
    centre = fractions.Fraction(*values[at + 4 : at + 6]) + fractions.Fraction(whole, 2)
    box.append((centre - length / 2, centre + length / 2, whole))
  if any(a < 0 or b > whole or a != int(a) or b != int(b) or a >= b for a, b, whole in box):
    raise UnsupportedImageError(f"an AVIF picture whose clean aperture cuts pixels: {_ADVICE}")
  return int(box[0][0]), int(box[1][0]), int(box[0][1]), int(box[1][1])
