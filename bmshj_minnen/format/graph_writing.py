"""Makes files from their parts within graphs, with only TensorFlow's own ops; see `writing`."""

from typing import Union

import tensorflow as tf

from bmshj_minnen.format import fields
from bmshj_minnen.format.writing import version_of
from bmshj_minnen.quality import BYTES, QUALITIES

__all__ = ["checksum_graph", "pack_graph", "quality_index_graph"]

_BYTES = [bytes([i]) for i in range(256)]


def pack_graph(
  fingerprint: bytes,
  height: tf.Tensor,
  width: tf.Tensor,
  payload: tf.Tensor,
  quality: Union[None, float, tf.Tensor] = None,
) -> tf.Tensor:
  """Makes a file.

  Args:
    fingerprint: 4 bytes, the fingerprint of the model.
    height, width: scalar int32, 1..65536 pixels.
    payload: scalar string.
    quality: one of `QUALITIES` for a model for many rates, a number or a scalar float32; None: the
      model is for one rate.

  Returns:
    The file, a scalar string.
  """
  version = version_of(quality is not None)
  values = {
    "magic": fields.MAGIC,
    "version": version,
    "fingerprint": fingerprint,
    "height": height,
    "width": width,
    "payload_size": tf.strings.length(payload),
    "quality": None if quality is None else tf.gather(BYTES, quality_index_graph(quality)),
    "checksum": b"",  # The last field; it covers all fields before it.
  }
  head = tf.strings.join(
    [
      values[field.name]
      if field.least is None
      else _big_endian(values[field.name] - field.least, field.size)
      for field in fields.of_version(version)
    ]
  )
  return tf.strings.join([head, checksum_graph(tf.strings.join([head, payload])), payload])


def quality_index_graph(quality: Union[float, tf.Tensor]) -> tf.Tensor:
  """The index of a quality, a number or a scalar float32, in `QUALITIES`: scalar int32."""
  return tf.searchsorted(QUALITIES, tf.cast(quality, tf.float32)[None])[0]


def checksum_graph(data: tf.Tensor) -> tf.Tensor:
  """`fields.checksum` of a scalar string: a scalar string of 4 bytes."""
  size = fields.field("checksum").size
  digits = tf.cast(tf.fingerprint(data[None])[0, :size], tf.int32)
  return tf.strings.reduce_join(tf.gather(_BYTES, digits))


def _big_endian(value, size):
  """A non-negative scalar int32 as a string of `size` bytes."""
  digits = tf.bitwise.right_shift(value, [8 * i for i in reversed(range(size))])
  return tf.strings.reduce_join(tf.gather(_BYTES, tf.bitwise.bitwise_and(digits, 255)))
