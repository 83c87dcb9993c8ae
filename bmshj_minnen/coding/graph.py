"""Functions of tensors that are traced once."""

from typing import Callable

import numpy as np
import tensorflow as tf

__all__ = ["Graph"]


class Graph:
  """A function traced once, when it is first called, for all sizes.

  Conditions and loops on tensors must be TensorFlow's own: finding Python's (AutoGraph) would take
  longer than all the rest of the first call.
  """

  def __init__(self, function: Callable, *signature: tf.TensorSpec):
    self._function = tf.function(function, signature, autograph=False)
    self._signature = signature
    self._concrete = None

  def __call__(self, *args):
    if self._concrete is None:
      self._concrete = self._function.get_concrete_function()
    return self._concrete(*map(_tensor, args, self._signature))


def _tensor(value, spec):
  if isinstance(value, int):
    # TensorFlow keeps every Python number that it ever made a tensor of.
    value = np.asarray(value, spec.dtype.as_numpy_dtype)
  return tf.convert_to_tensor(value)
