"""Functions of tensors that are traced once."""

from typing import Callable

import tensorflow as tf

__all__ = ["Graph"]


class Graph:
  """A function traced once, when it is first called, for all sizes."""

  def __init__(self, function: Callable, *signature: tf.TensorSpec):
    self._function = tf.function(function, signature)
    self._signature = signature
    self._concrete = None

  def __call__(self, *args):
    if self._concrete is None:
      self._concrete = self._function.get_concrete_function()
    return self._concrete(*map(tf.convert_to_tensor, args))
