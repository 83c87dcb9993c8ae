"""Exif data and XMP of photographs, within a graph."""

import tensorflow as tf

from bmshj_minnen.serving.octets import matches, number

__all__ = ["has_orientation", "is_adobe_rgb", "orientation"]

# The first one, in bytes that need not be UTF-8, as Pillow looks for it.
_ORIENTATION_OF_XMP = r'(?s)\C*?tiff:Orientation(?:="|>)([0-9])\C*'
# Tags of Exif 2.3, and Adobe RGB as they tell it.
_ORIENTATION, _EXIF, _INTEROPERABILITY, _COLOUR_SPACE, _INDEX = 0x0112, 0x8769, 0xA005, 0xA001, 1
_ADOBE_SPACE, _ADOBE_INDEX = 2, b"R03"
_SIZES = {1: 1, 3: 2, 4: 4, 7: 1}  # Of values, by type: BYTE, SHORT, LONG, UNDEFINED.


def orientation(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor, xmp: tf.Tensor) -> tf.Tensor:
  """The orientation, int64, of the first directory of Exif data, or else of XMP, or 1.

  Args:
    octets, end: as of `headers.png_header`.
    start: int64, of the TIFF header; 0: there is none.
    xmp: scalar string, the packet.
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
  """Whether Exif data name an orientation; arguments as of `orientation`; bool."""
  exif = _Exif(octets, end, start)
  return exif.place(exif.first, _ORIENTATION) > 0


def is_adobe_rgb(octets: tf.Tensor, end: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
  """Whether Exif data, as of `orientation`, name Adobe RGB; bool."""
  exif = _Exif(octets, end, start)
  part = exif.part(exif.first, _EXIF)
  of_other_index = exif.place(exif.part(part, _INTEROPERABILITY), _INDEX)
  is_index = (of_other_index > 0) & matches(octets, of_other_index, _ADOBE_INDEX)
  return is_index | (exif.value(part, _COLOUR_SPACE, 0) == _ADOBE_SPACE)


class _Exif:
  """Directories of Exif data; position 0 stands for one that is not there."""

  def __init__(self, octets, end, start):
    self._octets, self._end, self._start = octets, end, start
    self._is_little = matches(octets, start, b"II")
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
