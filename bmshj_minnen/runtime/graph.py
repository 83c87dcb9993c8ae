"""Functions of tensors, traced once."""

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np
import tensorflow as tf

from bmshj_minnen.runtime.forking import refuse_forked

__all__ = ["Graph", "rewriting", "traced", "without_autograph"]


def traced(
  function: Callable, signature: Sequence[tf.TensorSpec]
) -> tf.types.experimental.GenericFunction:
  """A `tf.function` of one signature; its `get_concrete_function` traces no second time.

  AutoGraph, which finds Python's conditions and loops on tensors, takes longer than the rest. So it
  runs only for functions that have some, such as in layers of other networks.

  Args:
    function: takes and returns tensors.
    signature: shape and dtype of each argument.
  """
  try:
    result = tf.function(function, signature, autograph=False)
    result.get_concrete_function()
  except tf.errors.OperatorNotAllowedInGraphError:
    result = tf.function(function, signature)
  return result


class Graph:
  """A function, traced for all sizes when it is first called.

  Under `tf.config.run_functions_eagerly` it runs operation by operation, as a `tf.function` does.

  TensorFlow applies its optimizer's options at each call. Mixed precision changes results, so calls
  raise RuntimeError if its setting has changed since the graph was made, and in forked processes.

  Args:
    function: takes and returns tensors.
    *signature: shape and dtype of each argument.
  """

  def __init__(self, function: Callable, *signature: tf.TensorSpec):
    self._function = function
    self._signature = signature
    self._concrete = None
    self._mixed_precision = _mixed_precision()

  def __call__(self, *args):
    refuse_forked()
    if _mixed_precision() != self._mixed_precision:
      raise RuntimeError(
        "auto_mixed_precision of tf.config.optimizer was changed after this codec was made, which"
        " changes what it computes: set it first, then load the codec"
      )
    args = map(_tensor, args, self._signature)
    if tf.config.functions_run_eagerly():
      return self._function(*args)
    if self._concrete is None:
      self._concrete = traced(self._function, self._signature).get_concrete_function()
    return self._concrete(*args)


def without_autograph(function: Callable, *args: Any) -> Any:
  """Calls a function of tensors without AutoGraph, if it works without, in a graph or eagerly.

  Keras converts all that `fit` calls, which takes a third of the time to trace a training step.
  """
  try:
    return tf.autograph.experimental.do_not_convert(function)(*args)
  except tf.errors.OperatorNotAllowedInGraphError:
    return function(*args)


def rewriting() -> frozenset[str]:
  """The settings that change how functions run: names of the optimizer's options, and others."""
  options = tf.config.optimizer.get_experimental_options()
  options["jit"] = tf.config.optimizer.get_jit()
  options["eager"] = tf.config.functions_run_eagerly()
  return frozenset(name for name, on in options.items() if on)


def _mixed_precision():
  return {name for name in rewriting() if name.startswith("auto_mixed_precision")}


def _tensor(value, spec):
  if isinstance(value, int):
    # TensorFlow keeps every Python number that it ever turned into a tensor.
    value = np.asarray(value, spec.dtype.as_numpy_dtype)
  return tf.convert_to_tensor(value)
