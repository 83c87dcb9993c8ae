"""Refuses bad input from within a graph."""

import tensorflow as tf

from bmshj_minnen.format.fields import MAX_SIDE

__all__ = ["label", "refuse_if", "refuse_size"]


def label(name: str, index: tf.Tensor) -> tf.Tensor:
  """The beginning of messages about an item of a batch, `name[index]: `, scalar string."""
  return tf.strings.join([name, "[", tf.strings.as_string(index), "]: "])


def refuse_if(bad: tf.Tensor, message: list, value: tf.Tensor) -> tf.Tensor:
  """Returns `value`, but ends the call with an InvalidArgument status if `bad` is true.

  Args:
    bad: scalar bool.
    message: scalar strings, joined to the message; TensorFlow escapes quotes in it.
    value: tensor that may be used only if `bad` is false.
  """
  text = tf.strings.join([tf.convert_to_tensor(part) for part in message])
  with tf.control_dependencies([tf.debugging.Assert(tf.logical_not(bad), [text])]):
    return tf.identity(value)


def refuse_size(size: tf.Tensor, max_pixels: int, where: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
  """Returns `value`, but ends the call with an InvalidArgument status if a size is not allowed.

  Args:
    size: [2] int64, height and width in pixels.
    max_pixels: maximum number of pixels.
    where: scalar string, the beginning of the message.
    value: tensor that may be used only if the size is allowed.
  """
  text = tf.strings.reduce_join(tf.strings.as_string(size), separator="x")
  outside = tf.reduce_any((size < 1) | (size > MAX_SIDE))
  message = [where, f"sides must be 1 to {MAX_SIDE} pixels, not ", text]
  size = refuse_if(outside, message, size)
  message = [where, f"image too large: expected at most {max_pixels} pixels, found ", text]
  return refuse_if(tf.reduce_prod(size) > max_pixels, message, value)
