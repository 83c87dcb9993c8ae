"""Converts bytes to numbers and numbers to bytes within a graph."""

import functools

import numpy as np
import tensorflow as tf

__all__ = ["matches", "number", "stored_gzip"]

_BYTES = [bytes([i]) for i in range(256)]
_GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_LARGEST_PART = 2**16 - 1  # Maximum bytes of a stored (not compressed) part.


def number(
  octets: tf.Tensor, position: tf.Tensor, size: int, little_endian: bool = False
) -> tf.Tensor:
  """Unsigned numbers at positions of a file.

  Args:
    octets: [n] uint8; positions beyond the end read the last byte, which should be zero.
    position: [...] int64, positions of the numbers.
    size: size of each number, 1 to 7 bytes.
    little_endian: whether the lowest byte comes first.

  Returns:
    [...] int64.
  """
  position = tf.convert_to_tensor(position, tf.int64)
  if tf.executing_eagerly():
    return _number(octets, position, size, little_endian)
  return _number_function(size, little_endian)(octets, position)


@functools.cache
def _number_function(size, little_endian):
  """A function that a graph calls at many places; each place would take a dozen operations."""
  return tf.function(
    functools.partial(_number, size=size, little_endian=little_endian), autograph=False
  )


def _number(octets, position, size, little_endian):
  places = [256**place for place in range(size)]
  digits = tf.cast(_read(octets, position, size), tf.int64)
  return tf.reduce_sum(digits * (places if little_endian else places[::-1]), -1)


def matches(octets: tf.Tensor, position: tf.Tensor, text: bytes) -> tf.Tensor:
  """Whether a text begins at a position.

  Args:
    octets: [n] uint8; positions beyond the end read the last byte, which should be zero.
    position: scalar int64.
    text: the text.

  Returns:
    Scalar bool.
  """
  return tf.reduce_all(_read(octets, position, len(text)) == np.frombuffer(text, np.uint8))


def _read(octets, position, size):
  """Bytes at positions [...]: [..., size] uint8; beyond the end the last byte."""
  position = tf.convert_to_tensor(position, tf.int64)
  where = position[..., None] + np.arange(size)
  return tf.gather(octets, tf.minimum(where, tf.size(octets, tf.int64) - 1))


def stored_gzip(data: tf.Tensor, checksum: tf.Tensor) -> tf.Tensor:
  """A gzip file (RFC 1952) that can be unpacked only if a CRC-32 is right.

  This replaces an op for CRC-32, which TensorFlow lacks.

  Args:
    data: scalar string, the content.
    checksum: scalar string, CRC-32 of the content in 4 bytes, the lowest byte first.

  Returns:
    Scalar string.
  """
  size = tf.strings.length(data)
  starts = tf.range(0, tf.maximum(size, 1), _LARGEST_PART)
  copies, lengths = (tf.fill(tf.shape(starts), value) for value in (data, _LARGEST_PART))
  parts = tf.strings.substr(copies, starts, lengths)
  is_last = tf.cast(tf.equal(starts, starts[-1]), tf.int32)
  # The head of each part (RFC 1951, 3.2.4) has its size and the complement of the size.
  low, high = tf.strings.length(parts) % 256, tf.strings.length(parts) // 256
  heads = tf.stack([is_last, low, high, 255 - low, 255 - high], -1)
  stored = tf.strings.join([tf.strings.reduce_join(tf.gather(_BYTES, heads), -1), parts])
  size_bytes = tf.bitwise.right_shift(size, [0, 8, 16, 24]) % 256
  end = tf.strings.reduce_join(tf.gather(_BYTES, size_bytes))
  return tf.strings.join([_GZIP_HEAD, tf.strings.reduce_join(stored), checksum, end])
