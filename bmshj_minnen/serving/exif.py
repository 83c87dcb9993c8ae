"""Exif data and XMP of photographs, within a graph."""

import tensorflow as tf

from bmshj_minnen.serving.byte_ops import matches, number

__all__ = ["has_orientation", "is_adobe_rgb", "orientation"]

# The first orientation, in bytes that need not be UTF-8; Pillow uses the same pattern.
_ORIENTATION_OF_XMP = r'(?s)\C*?tiff:Orientation(?:="|>)([0-9])\C*'
# Tags of Exif 2.3, and their values for Adobe RGB.
_ORIENTATION, _EXIF, _INTEROPERABILITY, _COLOUR_SPACE, _INDEX = 0x0112, 0x8769, 0xA005, 0xA001, 1
_ADOBE_SPACE, _ADOBE_INDEX = 2, b"R03"
_SIZES = {1: 1, 3: 2, 4: 4, 7: 1}  # Bytes of a value by type: BYTE, SHORT, LONG, UNDEFINED.


def orientation(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
  """The orientation in the first directory of Exif data, or else in XMP, or else 1.

  Args:
    octets: [n] uint8, the file followed by at least one zero.
    end: scalar int64, size of the file.
    start: scalar int64, position of the TIFF header; 0 without Exif data.
    xmp: scalar string, the XMP packet.

  Returns:
    Scalar int64.
  """
  exif = _Exif(octets, end, start)
  digit = tf.strings.regex_replace(xmp, _ORIENTATION_OF_XMP, r"\1")
  of_xmp = tf.cond(
    tf.strings.regex_full_match(xmp, _ORIENTATION_OF_XMP),
    lambda: tf.strings.to_number(digit, tf.int64),
    lambda: tf.constant(1, tf.int64),
  )
  return tf.where(
    has_orientation(octets, end, start), exif.value(exif.first, _ORIENTATION, 1), of_xmp
  )


def has_orientation(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  """Whether Exif data contain an orientation, scalar bool; for the arguments see `orientation`."""
  exif = _Exif(octets, end, start)
  return exif.place(exif.first, _ORIENTATION) > 0


def is_adobe_rgb(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  """Whether Exif data name Adobe RGB, scalar bool; for the arguments see `orientation`."""
  exif = _Exif(octets, end, start)
  part = exif.part(exif.first, _EXIF)
  of_other_index = exif.place(exif.part(part, _INTEROPERABILITY), _INDEX)
  is_index = (of_other_index > 0) & matches(octets, of_other_index, _ADOBE_INDEX)
  return is_index | (exif.value(part, _COLOUR_SPACE, 0) == _ADOBE_SPACE)


class _Exif:
  """Directories of Exif data; position 0 means that a directory is missing."""

  def __init__(self, octets, end, start):
    self._octets, self._end, self._start = octets, end, start
    self._is_little = matches(octets, start, b"II")
    self.first = tf.where(start > 0, start + self._field(start + 4, 4), 0)

  def _field(self, position, size):
    little, big = (number(self._octets, position, size, order) for order in (True, False))
    return tf.where(self._is_little, little, big)

  def place(self, directory, tag):
    """Position of the value of an entry, or of the offset to it; 0 if the entry is missing."""
    room = tf.maximum((self._end - directory - 2) // 12, 0)
    entries = directory + 2 + 12 * tf.range(tf.clip_by_value(self._field(directory, 2), 0, room))
    found = (self._field(entries, 2) == tag) & (directory > 0)
    return tf.concat([tf.boolean_mask(entries + 8, found), [0]], 0)[0]

  def value(self, directory, tag, otherwise):
    """The first value of an integer entry, or `otherwise`."""
    place = self.place(directory, tag)
    kind, result = self._field(tf.maximum(place - 6, 0), 2), tf.constant(otherwise, tf.int64)
    for one, size in _SIZES.items():
      result = tf.where((kind == one) & (place > 0), self._field(place, size), result)
    return result

  def part(self, directory, tag):
    """Position of the directory that an entry points to; 0 if it is missing."""
    at = self.value(directory, tag, 0)
    return tf.where(at > 0, self._start + at, 0)
