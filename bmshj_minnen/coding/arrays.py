"""One notation for NumPy's arrays and TensorFlow's tensors, so that a definition serves both.

The notation is TensorFlow's. `namespace(x)` returns TensorFlow's functions for a tensor (the module
`tensors`, which must have been imported), and NumPy's under the same names for an array or a
number. Arrays do not need TensorFlow.
"""

import sys
from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

__all__ = ["Arrays", "namespace"]

# Not imported here: it needs TensorFlow, and this module.
_TENSORS = "bmshj_minnen.coding.tensors"


class _Product:
  """A matrix product with constant weights: [n, k] -> [n, m].

  Args:
    weights: [k, m].
    few_rows: whether n is small; of use to tensors only.
  """

  def __init__(self, weights: np.ndarray, few_rows: bool):
    del few_rows
    self._weights = weights

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """The product [n, m] of x [n, k], both of the dtype of the weights."""
    return np.matmul(x, self._weights)


class Arrays:
  """NumPy's functions as TensorFlow names them.

  Names that are assigned are NumPy's own functions and dtypes. The results of all others have the
  shapes and dtypes that the tensors of TensorFlow's functions have.
  """

  Product = _Product
  float32, float64, int16, int32, int64 = np.float32, np.float64, np.int16, np.int32, np.int64
  broadcast_to = np.broadcast_to
  concat = np.concatenate
  cumsum = np.cumsum
  floor = np.floor
  maximum = np.maximum
  minimum = np.minimum
  pad = np.pad
  range = np.arange
  reduce_any = np.any
  reduce_max = np.max
  reduce_sum = np.sum
  repeat = np.repeat
  reshape = np.reshape
  round = np.rint
  searchsorted = np.searchsorted
  shape = np.shape
  stack = np.stack
  tile = np.tile
  transpose = np.transpose
  where = np.where
  zeros = np.zeros
  zeros_like = np.zeros_like

  @staticmethod
  def argsort(x: np.ndarray) -> np.ndarray:
    """The indices [n] int32 that sort numbers [n] of any dtype; equal ones keep their order."""
    return np.argsort(x, kind="stable").astype(np.int32)

  @staticmethod
  def cast(x: Any, dtype: type) -> np.ndarray:
    """An array of any shape with another dtype; integers lose the fractions."""
    return np.asarray(x).astype(dtype, copy=False)

  @staticmethod
  def clip_by_value(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers of any shape and dtype, those outside low..high moved to its ends."""
    return np.minimum(np.maximum(x, low), high)

  @staticmethod
  def collect(
    step: Callable[..., tuple[tuple, np.ndarray]], first: int, last: int, state: tuple, width: int
  ) -> tuple[tuple, np.ndarray]:
    """Calls a step for each number from `first` to before `last`.

    Args:
      step: number, state -> next state and a result [n, width] float32.
      first, last: number of the first step, and number after the last step.
      state: the first state.
      width: columns of the results; of use to tensors only.

    Returns:
      The last state, and all results in order, [sum of n, width] float32.

    Raises:
      ValueError: there is no step.
    """
    del width
    results = []
    for number in range(first, last):
      state, result = step(number, *state)
      results.append(result)
    return state, np.concatenate(results)

  @staticmethod
  def constant(x: np.ndarray, dtype: Any) -> np.ndarray:
    """An array of any shape with a dtype, contiguous."""
    return np.asarray(x, dtype, order="C")

  @staticmethod
  def depth_to_space(x: np.ndarray, size: int) -> np.ndarray:
    """Channels as squares of positions, [B, h, w, size² C] -> [B, size h, size w, C] of any dtype.

    Channel (i size + j) C + c of a position becomes channel c at row i and column j of its square.
    """
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, size, size, channels // size**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, size * height, size * width, -1)

  @staticmethod
  def ensure_shape(x: np.ndarray, shape: list) -> np.ndarray:
    """An array of any shape and dtype as it is; tensors get the static shape."""
    del shape  # Arrays always have a known shape.
    return x

  @staticmethod
  def gather_last(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Elements of the last axis: [..., n] of any dtype, integers [k] -> [..., k]."""
    return np.take(x, index, -1)

  @staticmethod
  def while_loop(is_on: Callable[..., bool], body: Callable[..., tuple], state: tuple) -> tuple:
    """The state after `body` was called while `is_on` is true.

    Args:
      is_on: the parts of a state -> whether to go on.
      body: the parts of a state -> the next state.
      state: the first state, arrays of any shape and dtype.
    """
    while is_on(*state):
      state = body(*state)
    return state

  @staticmethod
  def flatnonzero(x: np.ndarray) -> np.ndarray:
    """The indices [k] int32, increasing, of what is true in x [n] bool."""
    return np.flatnonzero(x).astype(np.int32)

  @staticmethod
  def gather(x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Elements of the first axis: x [n, *rest] of any dtype -> [*shape of index, *rest].

    Args:
      x: the elements.
      index: integers of any shape.
    """
    return np.take(x, index, 0)

  @staticmethod
  def invert_permutation(x: np.ndarray) -> np.ndarray:
    """The permutation [n] that undoes one of 0..n-1, of the same integer dtype."""
    result = np.empty_like(x)
    result[x] = np.arange(len(x))
    return result

  @staticmethod
  def leaky_relu(x: np.ndarray, slope: float) -> np.ndarray:
    """Floats of any shape and dtype, the negative ones times a slope of 0 to 1."""
    return np.maximum(x, slope * x)

  @staticmethod
  def slice(x: np.ndarray, begin: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The part of this size [...] that begins at these indices, of any dtype."""
    return x[tuple(slice(first, first + count) for first, count in zip(begin, size))]

  @staticmethod
  def split(x: np.ndarray, parts: int) -> list[np.ndarray]:
    """Equal parts along the first axis: [parts n, ...] of any dtype -> `parts` views [n, ...]."""
    size = len(x) // parts
    return [x[i * size : (i + 1) * size] for i in range(parts)]

  @staticmethod
  def tensor_scatter_nd_update(x: np.ndarray, where: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Replaces elements of the first axis, in the array itself.

    Args:
      x: [n, ...] of any dtype.
      where: [..., 1] integers, indices of the first axis.
      y: the new elements, [..., rest of the shape of x], of the dtype of x.

    Returns:
      The array itself.
    """
    x[where[..., 0]] = y
    return x


def namespace(x: Any) -> Any:
  """NumPy's functions for an array or a number, TensorFlow's for a tensor.

  Returns:
    `Arrays`, or the module `tensors`.

  Raises:
    KeyError: x is something else, and `tensors` was not imported.
  """
  if isinstance(x, (int, np.ndarray, np.generic)):
    return Arrays
  return sys.modules[_TENSORS]
