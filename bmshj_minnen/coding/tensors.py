"""TensorFlow's functions, as definitions that serve arrays and tensors alike call them.

Programs around this one may let TensorFlow rewrite graphs for speed. Its automatic mixed precision
turns float32 operands of MatMul, Einsum, convolutions and earlier versions of BatchMatMul into
bfloat16, which rounds them. `exact_dtype` finds out, and float64 is left alone. Graphs
that run in other processes have slower products of BatchMatMulV3, which are left alone in float32,
too.
"""

import contextlib
import contextvars
import sys
from collections.abc import Iterator
from typing import Callable

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.format.frozen_prior import FixedLayer

__all__ = [
  "collect",
  "depth_to_space",
  "exact_dtype",
  "graphs_of_other_processes",
  "invert_permutation",
  "leaky_relu",
  "matmul",
]

_elsewhere = contextvars.ContextVar("elsewhere", default=False)

depth_to_space = tf.nn.depth_to_space
invert_permutation = tf.math.invert_permutation
leaky_relu = tf.nn.leaky_relu


def __getattr__(name: str):
  return getattr(tf, name)


@contextlib.contextmanager
def graphs_of_other_processes() -> Iterator[None]:
  """Products that are traced within it stay exact whatever mixed precision is set later."""
  token = _elsewhere.set(True)
  try:
    yield
  finally:
    _elsewhere.reset(token)


def matmul(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
  """[n, k] times [k, m]."""
  if _elsewhere.get():
    return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=a.dtype)
  return tf.matmul(a, b)


def collect(
  step: Callable[..., tuple[tuple, tf.Tensor]],
  first: tf.Tensor,
  last: tf.Tensor,
  state: tuple,
  width: int,
) -> tuple[tuple, tf.Tensor]:
  """The last state, and all results, of a step that takes its number and a state.

  Args:
    step: number, state -> next state and a result [n, width] float32.
    first, last: numbers of the first step and the one after the last.
    state: tensors.
    width: of the results.
  """
  results = tf.TensorArray(tf.float32, last - first, infer_shape=False, element_shape=[None, width])

  def body(number, state, results):
    state, result = step(number, *state)
    return number + 1, state, results.write(number - first, result)

  _, state, results = tf.while_loop(
    lambda number, *_: number < last,
    body,
    (first, state, results),
    (tf.TensorShape([]), tuple(part.shape for part in state), tf.TensorShape(None)),
    parallel_iterations=8,  # An encoder's range coder may lag behind.
  )
  return state, results.concat()


def exact_dtype() -> str:
  """`fixed_point.exact_dtype` in a graph, as whatever rewrites graphs is set now."""
  return fixed_point.exact_dtype(_compute, "what tf.config.optimizer rewrites in graphs")


def _compute(layer: FixedLayer, dtype: str, x: np.ndarray) -> np.ndarray:
  compiled = fixed_point.CompiledLayer(layer, dtype, xp=sys.modules[__name__])
  spec = tf.TensorSpec([None, x.shape[1]], tf.float32)
  return Graph(lambda x: compiled(fixed_point.split(x)), spec)(x).numpy()
