"""The container as written within graphs, with TensorFlow's own ops alone; see `bitstream`."""

from typing import Union

import tensorflow as tf

from bmshj_minnen.coding.bitstream import HALF_STEP, MAGIC, QUALITY_VERSION, VERSION

__all__ = ["checksum_of", "pack", "quality_of"]

_BYTES = [bytes([i]) for i in range(256)]


def pack(
  fingerprint: bytes,
  height: tf.Tensor,
  width: tf.Tensor,
  payload: tf.Tensor,
  quality: Union[None, float, tf.Tensor] = None,
) -> tf.Tensor:
  """Makes a file.

  Args:
    fingerprint: 4 bytes.
    height, width: scalar int32, 1..65536.
    payload: scalar string.
    quality: one of `bitstream.QUALITIES`, of a model for many rates; a number or a scalar float32.

  Returns:
    Scalar string.
  """
  fields = [
    tf.constant(MAGIC + bytes([VERSION if quality is None else QUALITY_VERSION]) + fingerprint),
    _big_endian(height - 1, 2),
    _big_endian(width - 1, 2),
    _big_endian(tf.strings.length(payload), 4),
    b"" if quality is None else _quality_byte(quality),
  ]
  head = tf.strings.join(fields)
  return tf.strings.join([head, checksum_of(tf.strings.join([head, payload])), payload])


def _quality_byte(quality):
  quality = tf.cast(quality, tf.float32)
  whole = tf.floor(quality)
  return tf.gather(_BYTES, tf.cast(whole + HALF_STEP * tf.math.sign(quality - whole), tf.int32))


def quality_of(byte: tf.Tensor) -> tf.Tensor:
  """The quality that a scalar byte of a header stands for, float32, within a graph."""
  byte = tf.cast(byte, tf.float32)
  return tf.where(byte <= HALF_STEP, byte, byte - HALF_STEP + 0.5)


def _big_endian(value: tf.Tensor, size: int) -> tf.Tensor:
  """A non-negative scalar int32 as a string of `size` bytes."""
  digits = tf.bitwise.right_shift(value, [8 * i for i in reversed(range(size))])
  return tf.strings.reduce_join(tf.gather(_BYTES, tf.bitwise.bitwise_and(digits, 255)))


def checksum_of(data: tf.Tensor) -> tf.Tensor:
  """4 bytes of the farmhash64 of a scalar string."""
  digits = tf.cast(tf.fingerprint(data[None])[0, :4], tf.int32)
  return tf.strings.reduce_join(tf.gather(_BYTES, digits))
