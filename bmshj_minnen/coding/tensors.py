"""TensorFlow's functions under the names that `arrays` gives to NumPy's.

Programs that use this package may let TensorFlow rewrite graphs for speed. Its automatic mixed
precision turns float32 operands of MatMul, Einsum, convolutions and earlier versions of BatchMatMul
into bfloat16, which rounds them. `exact_dtype` detects that; float64 is not rewritten. Graphs for
other processes use BatchMatMulV3, which is slower but not rewritten in float32 either.
"""

import contextlib
import contextvars
import functools
import sys
from collections.abc import Iterator
from typing import Callable

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.format.frozen_prior import FixedLayer
from bmshj_minnen.runtime.graph import Graph, rewriting

__all__ = [
  "Product",
  "collect",
  "depth_to_space",
  "exact_dtype",
  "flatnonzero",
  "gather_last",
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


def flatnonzero(x: tf.Tensor) -> tf.Tensor:
  """The indices [k] int32 of what is true in x [n]."""
  return tf.cast(tf.where(x)[:, 0], tf.int32)


def gather_last(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
  """Elements of the last axis: [..., n] -> [..., k]."""
  return tf.gather(x, index, axis=-1)


@contextlib.contextmanager
def graphs_of_other_processes() -> Iterator[None]:
  """Products that are traced in this context stay exact under any later mixed precision."""
  token = _elsewhere.set(True)
  try:
    yield
  finally:
    _elsewhere.reset(token)


class Product:
  """A matrix product with constant weights: [n, k] -> [n, m].

  Products of few rows are cut into blocks. Blocks are multiplied at the same time, which keeps
  threads busier than sharing one product.

  Args:
    weights: [k, m].
    few_rows: whether n is small, some tens.
  """

  def __init__(self, weights: np.ndarray, few_rows: bool):
    # At these bounds the measured times are equal.
    size = weights.size
    cuts = (1, 1) if not few_rows or size > 2**21 else (2, 2) if size > 2**19 else (2, 1)
    rows, columns = cuts
    self._blocks = [
      [tf.constant(block) for block in np.array_split(part, columns, 1)]
      for part in np.array_split(weights, rows)
    ]

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    if len(self._blocks) == 1:
      return _products(x, self._blocks[0])
    parts = tf.split(x, [blocks[0].shape[0] for blocks in self._blocks], 1)
    return tf.add_n([_products(part, blocks) for part, blocks in zip(parts, self._blocks)])


def _products(x, blocks):
  """The product of x and of blocks that are next to each other."""
  products = [_matmul(x, block) for block in blocks]
  return products[0] if len(products) == 1 else tf.concat(products, 1)


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
  """Calls a step for each number from `first` to before `last`.

  Args:
    step: number, state -> next state and a result [n, width] float32.
    first, last: number of the first step, and number after the last step, scalar int32.
    state: the first state, tensors.
    width: columns of the results.

  Returns:
    The last state, and all results in order, [sum of n, width] float32.
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
  """`fixed_point.exact_dtype` in a graph, with the current settings for rewriting graphs.

  Raises:
    RuntimeError: no dtype has exact products.
  """
  return _exact_dtype(rewriting())


@functools.cache
def _exact_dtype(settings):
  """The dtype under these settings; the rest does not change while a process runs."""
  del settings
  return fixed_point.exact_dtype(_compute, "what tf.config.optimizer rewrites in graphs")


def _compute(layer: FixedLayer, dtype: str, x: np.ndarray) -> list[np.ndarray]:
  compiled = fixed_point.CompiledLayer(layer, dtype, sys.modules[__name__])
  spec = tf.TensorSpec([None, x.shape[1]], tf.float32)
  return [Graph(lambda x: compiled(fixed_point.split(x)), spec)(x).numpy()]
