"""Checks within a graph whether an ICC profile describes sRGB."""

import numpy as np
import tensorflow as tf

from bmshj_minnen.serving.byte_ops import number

__all__ = ["means_srgb"]

# ICC.1:2010: a header, the number of tags, then name, offset and size of each tag.
_TAGS = 128
_TABLES = b"A2B", b"D2B"  # Followed by a digit, 0 to 3; they have priority over the matrix.
_MAX_TAGS = 100
# The columns of red, green and blue in usual sRGB profiles: the primaries of IEC 61966-2-1, adapted
# to D50, in 1/65536. Profiles round them differently; a difference of 0.0002 changes every colour
# by less than a level.
_COLUMNS = (
  (0x6FA2, 0x38F5, 0x0390),
  (0x6299, 0xB785, 0x18DA),
  (0x24A0, 0x0F84, 0xB6CF),
)
_COLUMN_TOLERANCE = 13
_LEVELS = 256
_FUNCTION = 3  # Type of `para` curves: (a x + b)^g for x >= d, else c x.


def means_srgb(profile: tf.Tensor) -> tf.Tensor:
  """Whether a profile describes sRGB up to rounding.

  Only profiles of a matrix and curves (a table or sRGB's formula) are supported; for all other
  profiles the result is false.

  Args:
    profile: scalar string, the ICC profile.

  Returns:
    Scalar bool.
  """
  octets = tf.io.decode_raw(tf.strings.join([profile, bytes(1)]), tf.uint8)
  count = tf.minimum(number(octets, _TAGS, 4), _MAX_TAGS)
  entries = _TAGS + 4 + 12 * tf.range(count)
  names, offsets = number(octets, entries, 4), number(octets, entries + 4, 4)

  def is_name(name):
    return names == int.from_bytes(name, "big")

  def tag(name):
    return tf.concat([tf.boolean_mask(offsets, is_name(name)), [0]], 0)[0]

  spaces = number(octets, 16, 4) == int.from_bytes(b"RGB ", "big")
  spaces &= number(octets, 20, 4) == int.from_bytes(b"XYZ ", "big")
  is_table = tf.reduce_any([names // 256 == int.from_bytes(kind, "big") for kind in _TABLES])
  tests = [spaces, ~is_table]
  for column, name in zip(_COLUMNS, (b"rXYZ", b"gXYZ", b"bXYZ")):
    found = number(octets, tag(name) + [8, 12, 16], 4)
    tests.append(tf.reduce_all(tf.abs(found - column) <= _COLUMN_TOLERANCE))
  tests += [_is_srgb_curve(octets, tag(name)) for name in (b"rTRC", b"gTRC", b"bTRC")]
  return tf.reduce_all(tf.stack(tests))


def _is_srgb_curve(octets, start):
  """Whether the curve maps each level like sRGB's curve, up to half a level."""
  kind = number(octets, start, 4)
  table = _table(octets, start)
  curve = tf.where(kind == int.from_bytes(b"para", "big"), _formula(octets, start), table)
  known = (kind == int.from_bytes(b"para", "big")) | (kind == int.from_bytes(b"curv", "big"))
  levels = np.arange(_LEVELS)
  low, high = _srgb(levels - 0.5), _srgb(levels + 0.5)
  return known & tf.reduce_all((curve >= low) & (curve <= high))


def _srgb(levels):
  """IEC 61966-2-1: levels 0..255 -> linear 0..1; the linear part continues below 0."""
  x = levels / (_LEVELS - 1)
  return np.where(x <= 0.04045, x / 12.92, (np.maximum(x, 0) / 1.055 + 0.055 / 1.055) ** 2.4)


def _table(octets, start):
  """A `curv` table at the levels, linearly interpolated, [256] float64; junk for other curves."""
  # Tables of fewer entries are exponents.
  last = tf.maximum(number(octets, start + 8, 4), 2) - 1
  at = np.arange(_LEVELS) / (_LEVELS - 1) * tf.cast(last, tf.float64)
  below = tf.minimum(tf.cast(at, tf.int64), last - 1)
  fraction = at - tf.cast(below, tf.float64)
  ends = [number(octets, start + 12 + 2 * (below + i), 2) for i in (0, 1)]
  low, high = (tf.cast(end, tf.float64) / 65535 for end in ends)
  return low + (high - low) * fraction


def _formula(octets, start):
  """A `para` curve of sRGB's form at the levels, [256] float64; zeros for other curves."""
  g, a, b, c, d = tf.unstack(_fixed(number(octets, start + 12 + 4 * np.arange(5), 4)))
  x = np.arange(_LEVELS) / (_LEVELS - 1)
  values = tf.where(x >= d, tf.pow(tf.maximum(a * x + b, 0), g), c * x)
  return tf.where(number(octets, start + 8, 2) == _FUNCTION, values, tf.zeros_like(values))


def _fixed(value):
  """s15Fixed16 -> float64."""
  return tf.cast(tf.where(value < 2**31, value, value - 2**32), tf.float64) / 65536
