"""What stands before the pixels in PNG and JPEG files, within a graph."""

from typing import NamedTuple

import tensorflow as tf

from bmshj_minnen.serving.octets import number

__all__ = ["PNG", "Header", "jpeg_header", "orientation", "png_header"]

PNG = b"\x89PNG\r\n\x1a\n"
_MAX_SEGMENTS = 1000  # Photographs have a few dozen; a loop over millions would take minutes.
_START_OF_SCAN = 0xDA
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # ITU-T T.81, table B.1: all others of C0 to CF start a frame.
_ICC = b"ICC_PROFILE\0\1\1"  # The first part of one.
_ORIENTATION = 0x0112  # The tag of Exif 2.3, whose values are of type SHORT.
_SHORT = 3


class Header(NamedTuple):
  """Scalars; positions and sizes are int64 and 0 for what is not there.

  Attributes:
    height, width: of the pixels as they are stored, int64.
    depth, channels: bits a channel, and channels as far as they tell of CMYK, int64.
    alpha: bool, whether there is transparency.
    profile, profile_size: of the ICC profile: in JPEG files as it is, in PNG files a chunk.
    more_profile: bool, whether the profile has further parts.
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

  def step(position, alpha, profile, profile_size, exif):
    size = number(octets, position, 4)
    is_profile = is_type(position, b"iCCP")
    return (
      position + 12 + size,
      alpha | is_type(position, b"tRNS"),
      tf.where(is_profile, position + 8, profile),
      tf.where(is_profile, size, profile_size),
      tf.where(is_type(position, b"eXIf"), position + 8, exif),
    )

  zero, colour = tf.constant(0, tf.int64), number(octets, 25, 1)
  state = (zero + len(PNG), colour & 4 > 0, zero, zero, zero)
  found = tf.while_loop(more, step, state, maximum_iterations=_MAX_SEGMENTS)
  _, alpha, profile, profile_size, exif = found
  size = number(octets, 20, 4), number(octets, 16, 4)
  no_more = tf.constant(False)
  return Header(*size, number(octets, 24, 1), zero + 3, alpha, profile, profile_size, no_more, exif)


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
  return Header(*fields, tf.constant(False), profile, profile_size, more_profile, exif)


def orientation(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  """The orientation, int64, that the first directory of Exif data names, or 1.

  Args:
    octets, end: as of `png_header`.
    start: int64, of the TIFF header; 0: there is none.
  """
  is_little = _matches(octets, start, b"II")

  def field(position, size):
    little, big = (number(octets, position, size, order) for order in (True, False))
    return tf.where(is_little, little, big)

  directory = start + field(start + 4, 4)
  count = tf.clip_by_value(field(directory, 2), 0, tf.maximum((end - directory - 2) // 12, 0))
  entries = directory + 2 + 12 * tf.range(count)
  found = (field(entries, 2) == _ORIENTATION) & (field(entries + 2, 2) == _SHORT)
  values = tf.boolean_mask(field(entries + 8, 2), found & (start > 0))
  return tf.concat([values, [1]], 0)[0]


def _matches(octets, position, text):
  parts = [text[i : i + 4] for i in range(0, len(text), 4)]
  tests = [
    number(octets, position + 4 * i, len(part)) == int.from_bytes(part, "big")
    for i, part in enumerate(parts)
  ]
  return tf.reduce_all(tf.stack(tests))
