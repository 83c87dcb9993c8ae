"""The order of the latents in a file, and the only autoregressive loop.

With the 5x5 causal mask, the latent at row i, column j needs the two rows above up to column
j + 2 and its left neighbours in its own row. So all positions with the same t = j + 3 i are
independent of each other, and a 32x48 image of latents takes 141 steps instead of 1,536. Symbols
are ordered by t, then by row, channels innermost. Priors without context take 2^16 positions a
step, in raster order.
"""

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.frozen_prior import Networks
from bmshj_minnen.entropy.range_coder import MAX_VALUE, RangeCoder

__all__ = [
  "Decoder",
  "Encoder",
  "Segment",
  "Side",
  "coding_order",
  "scan",
  "scan_steps",
  "segments",
  "start",
  "step_sizes",
  "wavefront_order",
]

_SLOPE = 3  # Columns that a row lags behind the one above it.
# The 12 taps of the mask in raster order: rows up, and steps back, of which a column is one.
_UP = np.repeat([2, 1, 0], [5, 5, 2])
_BACK = _SLOPE * _UP + 2 - np.arange(12) % 5
_REACH = int(_BACK.max())  # 8: two rows up, two columns left.
_BLOCK = 2**16  # Positions of a step of priors without context; part of the format.
_SEGMENT = 2**14  # Positions that are in tensors at the same time; no part of the format.


class Side(Protocol):
  """What encoder and decoder do at the positions of one step."""

  def __call__(
    self, handle: tf.Tensor, mean: tf.Tensor, table: tf.Tensor, where: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves symbols between the range coder and ŷ.

    Args:
      handle: the range coder's state.
      mean: [n, M] float32, on the grid of ŷ.
      table: [n, M] int32.
      where: [n] int32, which positions these are.

    Returns:
      The next state and ŷ [n, M] float32 on its grid.
    """


class Encoder:
  """Quantizes y around the means and pushes the differences."""

  def __init__(self, coder: RangeCoder, unit: float, first_table: int, y: tf.Tensor):
    self._coder, self._unit, self._first_table = coder, unit, first_table
    self._y = y  # [h * w, M] float32 on the grid of ŷ.

  def __call__(self, handle, mean, table, where):
    symbol = tf.round((tf.gather(self._y, where) - mean) / self._unit)
    value = tf.cast(tf.clip_by_value(symbol, -MAX_VALUE, MAX_VALUE), tf.int32)
    handle = self._coder.push(
      handle, tf.reshape(table, [-1]) + self._first_table, tf.reshape(value, [-1])
    )
    # Through integers: no -0, which the decoder would not get.
    return handle, fixed_point.saturate(mean + tf.cast(value, tf.float32) * self._unit)


class Decoder:
  """Pops the differences and adds them to the means."""

  def __init__(self, coder: RangeCoder, unit: float, first_table: int):
    self._coder, self._unit, self._first_table = coder, unit, first_table

  def __call__(self, handle, mean, table, where):
    handle, value = self._coder.pop(handle, tf.reshape(table, [-1]) + self._first_table)
    symbol = tf.reshape(tf.cast(value, tf.float32), tf.shape(mean))
    return handle, fixed_point.saturate(mean + symbol * self._unit)


class Segment(NamedTuple):
  """Some steps, and the places of their positions in the order of coding."""

  first_step: int
  last_step: int
  begin: int
  end: int


def coding_order(has_context: bool, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """[height * width] int32: the raster index of each position, in the order of coding."""
  return wavefront_order(height, width) if has_context else tf.range(height * width)


def wavefront_order(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """[height * width] int32: the raster index of each position, in the order of coding."""
  row = tf.repeat(tf.range(height, dtype=tf.int64), width)
  column = tf.tile(tf.range(width, dtype=tf.int64), [height])
  key = (column + _SLOPE * row) * tf.cast(height, tf.int64) + row
  return tf.argsort(key)


def scan(
  networks: Networks,
  side: Side,
  handle: tf.Tensor,
  psi: tf.Tensor,
  height: tf.Tensor,
  width: tf.Tensor,
  channels: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Encodes or decodes all latents of an image.

  Args:
    networks: the exact networks.
    side: `Encoder` or `Decoder`; told positions in raster order.
    handle: the range coder's state.
    psi: [height * width, ...] from h_s, raster order.
    height, width: of the image of latents.
    channels: M.

  Returns:
    The next state and ŷ [height * width, M] float32 on its grid, raster order.
  """
  order = coding_order(networks.has_context, height, width)
  handle, _, latents = scan_steps(
    networks,
    side,
    handle,
    tf.gather(psi, order),
    order,
    start(networks.num_parts, height, width, channels),
    (tf.constant(0), _num_steps(networks.has_context, height, width)),
    (height, width),
  )
  return handle, tf.gather(latents, tf.math.invert_permutation(order))


def start(parts: int, height: tf.Tensor, width: tf.Tensor, channels: int) -> tf.Tensor:
  """What precedes the first step: [parts * (8 R + 1), M] zeros.

  R is the most positions that a step has.
  """
  most = tf.minimum(height, (width + _SLOPE - 1) // _SLOPE)
  return tf.zeros([parts * (_REACH * most + 1), channels])


def step_sizes(has_context: bool, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """[steps] int32: how many positions each step of an image has."""
  steps = tf.range(_num_steps(has_context, height, width))
  return _positions(has_context, steps, height, width)[1]


def segments(sizes: np.ndarray) -> list[Segment]:
  """Divides steps of these sizes into runs of about 2^14 positions, or else of one step."""
  begins = np.concatenate([[0], np.cumsum(sizes)])
  edges = np.searchsorted(begins, np.arange(0, begins[-1], _SEGMENT))
  edges = np.unique([*edges, len(sizes)]).tolist()
  return [
    Segment(first, last, int(begins[first]), int(begins[last]))
    for first, last in zip(edges, edges[1:])
  ]


def scan_steps(
  networks: Networks,
  side: Side,
  handle: tf.Tensor,
  psi: tf.Tensor,
  where: tf.Tensor,
  recent: tf.Tensor,
  steps: tuple[tf.Tensor, tf.Tensor],
  size: tuple[tf.Tensor, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Encodes or decodes the latents of some steps: the autoregressive loop.

  Args:
    networks: the exact networks.
    side: `Encoder` or `Decoder`.
    handle: the range coder's state.
    psi: [n, ...] of any dtype, from h_s, at the positions of these steps as coded.
    where: [n] int32, what `side` is told of these positions.
    recent: [parts * (8 R + 1), M], ŷ of the last eight steps as `networks` split it. In each part,
      row i of step t is at R (t % 8) + i % R, and zeros, for what is outside the image, at 8 R.
    steps: the first and the one after the last.
    size: height and width of the image of latents.

  Returns:
    The next state, the next `recent`, and ŷ [n, M] float32 on its grid, in the order of coding.
  """
  (first, last), channels = steps, recent.shape[-1]
  prepared = networks.prepare(psi)
  ends = tf.cumsum(step_sizes(networks.has_context, *size)[first:last])
  if networks.has_context:
    slots, taps = _slots(networks.num_parts, tf.shape(recent)[0], steps, size)

  def step(t, begin, recent, handle, latents):
    end = tf.gather(ends, t - first)
    neighbours = None
    if networks.has_context:
      neighbours = tf.gather(recent, taps[:, begin:end])
      neighbours = tf.reshape(neighbours, [networks.num_parts, -1, _UP.size * channels])
    mean, table = networks.parameters(prepared[begin:end], neighbours)
    handle, y_hat = side(handle, mean, table, where[begin:end])
    latents = latents.write(t - first, y_hat)
    if networks.has_context:
      recent = tf.tensor_scatter_nd_update(recent, slots[:, begin:end], networks.split(y_hat))
    return t + 1, end, recent, handle, latents

  scalar = tf.TensorShape([])
  latents = tf.TensorArray(
    tf.float32, last - first, infer_shape=False, element_shape=[None, channels]
  )
  _, _, recent, handle, latents = tf.while_loop(
    lambda t, *_: t < last,
    step,
    (first, tf.constant(0), recent, handle, latents),
    shape_invariants=(scalar, scalar, recent.shape, scalar, tf.TensorShape(None)),
    parallel_iterations=8,  # An encoder's range coder may lag behind.
  )
  return handle, recent, latents.concat()


def _num_steps(has_context, height, width):
  if has_context:
    return width + _SLOPE * (height - 1)
  return (height * width + _BLOCK - 1) // _BLOCK


def _positions(has_context, step, height, width):
  """The first row of a step, and how many positions it has."""
  if not has_context:
    return tf.zeros_like(step), tf.minimum(_BLOCK, height * width - step * _BLOCK)
  first_row = tf.maximum(0, (step - width + _SLOPE) // _SLOPE)
  return first_row, tf.minimum(step // _SLOPE, height - 1) - first_row + 1


def _slots(parts, num_slots, steps, size):
  """Where `recent` has the positions of some steps, and their neighbours.

  Returns:
    [parts, n, 1], and [parts, n, 12] at the taps of the mask, in raster order of the taps.
  """
  a_part = num_slots // parts
  most = a_part // _REACH
  step = tf.range(*steps)
  first_row, count = _positions(True, step, *size)
  row = tf.ragged.range(first_row, first_row + count).values[:, None]
  step = tf.repeat(step, count)[:, None]

  def slot(step, row):
    return step % _REACH * most + row % most

  up, back = row - _UP, step - _BACK
  column = back - _SLOPE * up
  is_inside = (up >= 0) & (column >= 0) & (column < size[1])
  taps = tf.where(is_inside, slot(back, up), _REACH * most)
  begins = a_part * tf.range(parts)[:, None, None]
  return begins + slot(step, row), begins + taps
