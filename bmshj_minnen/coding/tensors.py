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
  "Product",
  "collect",
  "depth_to_space",
  "exact_dtype",
  "graphs_of_other_processes",
  "invert_permutation",
  "leaky_relu",
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


class Product:
  """Times constant weights: [n, k] -> [n, m].

  Products of few rows are cut into blocks. They are multiplied at the same time, which keeps
  threads busier than one product that they share.

  Args:
    weights: [k, m].
    few_rows: whether n is some tens.
  """

  def __init__(self, weights: np.ndarray, few_rows: bool):
    # Bounds are where measured times cross.
    size = weights.size
    cuts = (1, 1) if not few_rows or size > 2**21 else (2, 2) if size > 2**19 else (2, 1)
    rows, columns = cuts
    self._blocks = [
      [tf.constant(block) for block in np.array_split(part, columns, 1)]
      for part in np.array_split(weights, rows)
    ]

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    parts = tf.split(x, [blocks[0].shape[0] for blocks in self._blocks], 1)
    return tf.add_n(
      [tf.concat([_matmul(x, b) for b in blocks], 1) for x, blocks in zip(parts, self._blocks)]
    )


def _matmul(a, b):
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


def _compute(layer: FixedLayer, dtype: str, x: np.ndarray) -> list[np.ndarray]:
  compiled = fixed_point.CompiledLayer(layer, dtype, sys.modules[__name__])
  spec = tf.TensorSpec([None, x.shape[1]], tf.float32)
  return [Graph(lambda x: compiled(fixed_point.split(x)), spec)(x).numpy()]
