"""Refusing bad input from within a graph."""

import tensorflow as tf

from bmshj_minnen.format.fields import MAX_SIDE

__all__ = ["label", "refuse_if", "refuse_size"]


def label(name: str, index: tf.Tensor) -> tf.Tensor:
  """How messages begin: `name[index]: `; the item of a batch that is meant."""
  return tf.strings.join([name, "[", tf.strings.as_string(index), "]: "])


def refuse_if(bad: tf.Tensor, message: list, value: tf.Tensor) -> tf.Tensor:
  """`value`; but the call ends with an InvalidArgument status if something is bad.

  Args:
    bad: scalar bool.
    message: scalar strings, of which the status is made; TensorFlow escapes quotes in it.
    value: what may be used only if all is well.
  """
  text = tf.strings.join([tf.convert_to_tensor(part) for part in message])
  with tf.control_dependencies([tf.debugging.Assert(tf.logical_not(bad), [text])]):
    return tf.identity(value)


def refuse_size(size: tf.Tensor, max_pixels: int, where: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
  """`value`; but the call ends with an InvalidArgument status if no image may have this size.

  Args:
    size: [2] int64, height and width in pixels.
    max_pixels: the largest image that is accepted.
    where: scalar string that the message begins with.
    value: as of `refuse_if`.
  """
  text = tf.strings.reduce_join(tf.strings.as_string(size), separator="x")
  outside = tf.reduce_any((size < 1) | (size > MAX_SIDE))
  message = [where, f"sides must be 1 to {MAX_SIDE} pixels, not ", text]
  size = refuse_if(outside, message, size)
  message = [where, f"image too large: expected at most {max_pixels} pixels, found ", text]
  return refuse_if(tf.reduce_prod(size) > max_pixels, message, value)
