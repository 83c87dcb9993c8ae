"""Numbers in bytes, within a graph."""

import tensorflow as tf

__all__ = ["matches", "number"]


def number(
  octets: tf.Tensor, position: tf.Tensor, size: int, little_endian: bool = False
) -> tf.Tensor:
  """Unsigned numbers.

  Args:
    octets: [n] uint8; positions beyond it read its last one, which should be a zero.
    position: [...] int64, where the numbers begin.
    size: of each, 1 to 7 bytes.
    little_endian: whether the lowest byte comes first.

  Returns:
    [...] int64.
  """
  position = tf.convert_to_tensor(position, tf.int64)
  last = tf.size(octets, tf.int64) - 1
  where = tf.minimum(position[..., None] + tf.range(size, dtype=tf.int64), last)
  places = [256**place for place in range(size)]
  digits = tf.cast(tf.gather(octets, where), tf.int64)
  return tf.reduce_sum(digits * (places if little_endian else places[::-1]), -1)


def matches(octets: tf.Tensor, position: tf.Tensor, text: bytes) -> tf.Tensor:
  """Whether a text begins at a position, bool; both as of `number`."""
  parts = [text[i : i + 4] for i in range(0, len(text), 4)]
  tests = [
    number(octets, position + 4 * i, len(part)) == int.from_bytes(part, "big")
    for i, part in enumerate(parts)
  ]
  return tf.reduce_all(tf.stack(tests))
