"""Refusing bad input from within a graph."""

import tensorflow as tf

__all__ = ["label", "refuse_if"]


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
