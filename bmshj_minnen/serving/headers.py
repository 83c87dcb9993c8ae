"""What stands before the pixels in PNG and JPEG files, within a graph."""

from typing import NamedTuple

import tensorflow as tf

from bmshj_minnen.photographs import png
from bmshj_minnen.serving.octets import number

__all__ = ["PNG", "Header", "is_adobe_rgb", "jpeg_header", "orientation", "png_header"]

PNG = b"\x89PNG\r\n\x1a\n"
_MAX_SEGMENTS = 1000  # Photographs have a few dozen; a loop over millions would take minutes.
_START_OF_SCAN = 0xDA
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # ITU-T T.81, table B.1: all others of C0 to CF start a frame.
_ICC = b"ICC_PROFILE\0\1\1"  # The first part of one.
# Tags of Exif 2.3, and Adobe RGB as they tell it.
_ORIENTATION, _EXIF, _INTEROPERABILITY, _COLOUR_SPACE, _INDEX = 0x0112, 0x8769, 0xA005, 0xA001, 1
_ADOBE_SPACE, _ADOBE_INDEX = 2, b"R03"
_SIZES = {1: 1, 3: 2, 4: 4, 7: 1}  # Of values, by type: BYTE, SHORT, LONG, UNDEFINED.


class Header(NamedTuple):
  """Scalars; positions and sizes are int64 and 0 for what is not there.

  Attributes:
    height, width: of the pixels as they are stored, int64.
    depth, channels: bits a channel, and channels as far as they tell of CMYK, int64.
    alpha: bool, whether there is transparency.
    profile, profile_size: of the ICC profile: in JPEG files as it is, in PNG files a chunk.
    more_profile: bool, whether the profile has further parts.
    other_colours: bool, whether colours other than sRGB are declared without a profile.
    exif: where the TIFF header of the Exif data begins.
  """

  height: tf.Tensor
  width: tf.Tensor
  depth: tf.Tensor
  channels: tf.Tensor
  alpha: tf.Tensor
  profile: tf.Tensor
  profile_size: tf.Tensor
  more_profile: tf.Tensor
  other_colours: tf.Tensor
  exif: tf.Tensor


def png_header(octets: tf.Tensor, end: tf.Tensor) -> Header:
  """Of a PNG file (ISO/IEC 15948): chunks of length, type, data and checksum.

  Args:
    octets: [n] uint8, the file and zeros behind it, one at least.
    end: int64, the size of the file.
  """

  def is_type(position, name):
    return _matches(octets, position + 4, name)

  def more(position, *_):
    return (position < end) & ~is_type(position, b"IDAT")

  def is_near(position, *expected, tolerance):
    places = position + 8 + 4 * tf.range(len(expected), dtype=tf.int64)
    return tf.reduce_all(tf.abs(number(octets, places, 4) - expected) <= tolerance)

  def step(position, alpha, profile, profile_size, exif, coded, is_srgb, calibrated):
    size = number(octets, position, 4)
    is_profile = is_type(position, b"iCCP")
    return (
      position + 12 + size,
      alpha | is_type(position, b"tRNS"),
      tf.where(is_profile, position + 8, profile),
      tf.where(is_profile, size, profile_size),
      tf.where(is_type(position, b"eXIf"), position + 8, exif),
      coded | (is_type(position, b"cICP") & ~_matches(octets, position + 8, png.SRGB_CODE_POINTS)),
      is_srgb | is_type(position, b"sRGB"),
      calibrated
      | is_type(position, b"gAMA")
      & ~is_near(position, png.SRGB_GAMMA, tolerance=png.GAMMA_TOLERANCE)
      | is_type(position, b"cHRM")
      & ~is_near(position, *png.SRGB_PLACES, tolerance=png.PLACE_TOLERANCE),
    )

  zero, colour = tf.constant(0, tf.int64), number(octets, 25, 1)
  no = tf.constant(False)
  state = (zero + len(PNG), colour & 4 > 0, zero, zero, zero, no, no, no)
  found = tf.while_loop(more, step, state, maximum_iterations=_MAX_SEGMENTS)
  _, alpha, profile, profile_size, exif, coded, is_srgb, calibrated = found
  size = number(octets, 20, 4), number(octets, 16, 4), number(octets, 24, 1)
  other_colours = coded | (calibrated & ~is_srgb & (profile == 0))
  return Header(*size, zero + 3, alpha, profile, profile_size, no, other_colours, exif)


def jpeg_header(octets: tf.Tensor, end: tf.Tensor) -> Header:
  """Of a JPEG file: segments of a marker, a length and data; arguments as of `png_header`."""

  def marker(position):
    return number(octets, position + 1, 1)

  def more(position, *_):
    return (position < end) & (marker(position) != _START_OF_SCAN)

  def step(position, frame, profile, profile_size, parts, exif):
    kind, size = marker(position), number(octets, position + 2, 2)
    is_frame = (kind >= 0xC0) & (kind <= 0xCF) & tf.reduce_all(kind != _NO_FRAME)
    is_part = (kind == 0xE2) & _matches(octets, position + 4, _ICC[:-2])
    is_profile = is_part & _matches(octets, position + 4 + len(_ICC) - 2, _ICC[-2:])
    is_exif = (kind == 0xE1) & _matches(octets, position + 4, b"Exif\0\0") & (exif == 0)
    return (
      position + 2 + size,
      tf.where(is_frame, position + 4, frame),
      tf.where(is_profile, position + 4 + len(_ICC), profile),
      tf.where(is_profile, size - 2 - len(_ICC), profile_size),
      parts + tf.cast(is_part, tf.int64),
      tf.where(is_exif, position + 10, exif),
    )

  zero = tf.constant(0, tf.int64)
  state = (zero + 2, zero, zero, zero, zero, zero)
  found = tf.while_loop(more, step, state, maximum_iterations=_MAX_SEGMENTS)
  _, frame, profile, profile_size, parts, exif = found
  fields = [number(octets, frame + at, size) for at, size in ((1, 2), (3, 2), (0, 1), (5, 1))]
  # Without a frame there is no size.
  fields[0] = tf.where(frame > 0, fields[0], 0)
  more_profile = parts != tf.cast(profile > 0, tf.int64)
  other_colours = (parts == 0) & is_adobe_rgb(octets, end, exif)
  no = tf.constant(False)
  return Header(*fields, no, profile, profile_size, more_profile, other_colours, exif)


def orientation(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  """The orientation, int64, that the first directory of Exif data names, or 1.

  Args:
    octets, end: as of `png_header`.
    start: int64, of the TIFF header; 0: there is none.
  """
  exif = _Exif(octets, end, start)
  return exif.value(exif.first, _ORIENTATION, 1)


def is_adobe_rgb(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  """Whether Exif data, as of `orientation`, tell of Adobe RGB; bool."""
  exif = _Exif(octets, end, start)
  part = exif.part(exif.first, _EXIF)
  of_other_index = exif.place(exif.part(part, _INTEROPERABILITY), _INDEX)
  is_index = (of_other_index > 0) & _matches(octets, of_other_index, _ADOBE_INDEX)
  return is_index | (exif.value(part, _COLOUR_SPACE, 0) == _ADOBE_SPACE)


class _Exif:
  """Directories of Exif data; position 0 stands for one that is not there."""

  def __init__(self, octets, end, start):
    self._octets, self._end, self._start = octets, end, start
    self._is_little = _matches(octets, start, b"II")
    self.first = tf.where(start > 0, start + self._field(start + 4, 4), 0)

  def _field(self, position, size):
    little, big = (number(self._octets, position, size, order) for order in (True, False))
    return tf.where(self._is_little, little, big)

  def place(self, directory, tag):
    """Where the value of an entry stands, or the number that points to it; 0: nowhere."""
    room = tf.maximum((self._end - directory - 2) // 12, 0)
    entries = directory + 2 + 12 * tf.range(tf.clip_by_value(self._field(directory, 2), 0, room))
    found = (self._field(entries, 2) == tag) & (directory > 0)
    return tf.concat([tf.boolean_mask(entries + 8, found), [0]], 0)[0]

  def value(self, directory, tag, otherwise):
    """The first value of an entry of whole numbers."""
    place = self.place(directory, tag)
    kind, result = self._field(tf.maximum(place - 6, 0), 2), tf.constant(otherwise, tf.int64)
    for one, size in _SIZES.items():
      result = tf.where((kind == one) & (place > 0), self._field(place, size), result)
    return result

  def part(self, directory, tag):
    """The directory that an entry points to."""
    at = self.value(directory, tag, 0)
    return tf.where(at > 0, self._start + at, 0)


def _matches(octets, position, text):
  parts = [text[i : i + 4] for i in range(0, len(text), 4)]
  tests = [
    number(octets, position + 4 * i, len(part)) == int.from_bytes(part, "big")
    for i, part in enumerate(parts)
  ]
  return tf.reduce_all(tf.stack(tests))
