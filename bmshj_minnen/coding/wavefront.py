"""The order of the latents in a file, and the only autoregressive loop.

With the paper's 5x5 causal mask, the latent at row i, column j needs the two rows above up to
column j + 2 and its left neighbours in its own row. So all positions with the same t = j + 3 i are
independent of each other, and a 32x48 image of latents takes 141 steps instead of 1,536. Symbols
are ordered by t, then by row, channels innermost. Other masks have another `Reach`. Priors without
context take 2^16 positions a step, in raster order.
"""

from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.networks import Networks
from bmshj_minnen.entropy.range_coder import RangeCoder
from bmshj_minnen.format.geometry import Reach
from bmshj_minnen.format.tables import MAX_VALUE

__all__ = [
  "Decoder",
  "Encoder",
  "Segment",
  "SymbolCoder",
  "coding_order_graph",
  "empty_ring_graph",
  "scan_graph",
  "scan_steps_graph",
  "segments",
  "step_sizes_graph",
]

_BLOCK = 2**16  # Positions of a step of priors without context; part of the format.
_SEGMENT = 2**14  # Positions that are in tensors at the same time; no part of the format.


class SymbolCoder(Protocol):
  """What encoder and decoder do at the positions of one step."""

  def __call__(
    self, handle: tf.Tensor, mean: tf.Tensor, table_index: tf.Tensor, where: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Moves symbols between the range coder and ŷ.

    Args:
      handle: the range coder's state.
      mean: [n, M] float32, int16-valued, in units of `y_step`.
      table_index: [n, M] int32, counted from the first table of y.
      where: [n] int32, which positions these are.

    Returns:
      The next state and ŷ like the means.
    """


class Encoder:
  """Quantizes y around the means and pushes the differences.

  Args:
    coder: with the tables of z, then those of y.
    unit: the distance of symbols in units of `y_step`.
    first_table: of y.
    y: [h * w, M] float32, int16-valued, in units of `y_step`.
  """

  def __init__(self, coder: RangeCoder, unit: float, first_table: int, y: tf.Tensor):
    self._coder, self._unit, self._first_table = coder, unit, first_table
    self._y = y

  def __call__(self, handle, mean, table_index, where):
    symbol = tf.round((tf.gather(self._y, where) - mean) / self._unit)
    value = tf.cast(tf.clip_by_value(symbol, -MAX_VALUE, MAX_VALUE), tf.int32)
    handle = self._coder.push(
      handle, tf.reshape(table_index, [-1]) + self._first_table, tf.reshape(value, [-1])
    )
    # Through integers: no -0, which the decoder would not get.
    return handle, fixed_point.saturate_graph(mean + tf.cast(value, tf.float32) * self._unit)


class Decoder:
  """Pops the differences and adds them to the means; arguments as of `Encoder`."""

  def __init__(self, coder: RangeCoder, unit: float, first_table: int):
    self._coder, self._unit, self._first_table = coder, unit, first_table

  def __call__(self, handle, mean, table_index, where):
    handle, value = self._coder.pop(handle, tf.reshape(table_index, [-1]) + self._first_table)
    symbol = tf.reshape(tf.cast(value, tf.float32), tf.shape(mean))
    return handle, fixed_point.saturate_graph(mean + symbol * self._unit)


class Segment(NamedTuple):
  """Some steps, and the places of their positions in the order of coding."""

  first_step: int
  last_step: int
  begin: int
  end: int


def coding_order_graph(support: int, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """[height * width] int32: the raster index of each position, in the order of coding.

  Args:
    support: side of the causal kernel; 0 without context.
    height, width: of the image of latents.
  """
  if not support:
    return tf.range(height * width)
  row = tf.repeat(tf.range(height, dtype=tf.int64), width)
  column = tf.tile(tf.range(width, dtype=tf.int64), [height])
  key = (column + Reach(support).slope * row) * tf.cast(height, tf.int64) + row
  return tf.argsort(key)


def scan_graph(
  networks: Networks,
  coder: SymbolCoder,
  handle: tf.Tensor,
  psi: tf.Tensor,
  height: tf.Tensor,
  width: tf.Tensor,
  channels: int,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Encodes or decodes all latents of an image.

  Args:
    networks: the exact networks.
    coder: told positions in raster order.
    handle: the range coder's state.
    psi: [height * width, ...] from h_s, raster order.
    height, width: of the image of latents.
    channels: M.

  Returns:
    The next state and ŷ [height * width, M] float32, raster order: int16-valued, in units of
    `y_step`.
  """
  support = networks.context_support
  order = coding_order_graph(support, height, width)
  handle, _, latents = scan_steps_graph(
    networks,
    coder,
    handle,
    tf.gather(psi, order),
    order,
    empty_ring_graph(support, networks.num_parts, height, width, channels),
    (tf.constant(0), _num_steps(support, height, width)),
    (height, width),
  )
  return handle, tf.gather(latents, tf.math.invert_permutation(order))


def empty_ring_graph(
  support: int, parts: int, height: tf.Tensor, width: tf.Tensor, channels: int
) -> tf.Tensor:
  """A ring buffer of ŷ of the last S steps, before the first one: [parts * (S R + 1), M] zeros.

  S is how many steps a neighbour may be back (eight with the paper's mask), and R the most
  positions that a step has.
  """
  reach = Reach(support)
  most = tf.minimum(height, (width + reach.slope - 1) // reach.slope)
  return tf.zeros([parts * (reach.steps * most + 1), channels])


def step_sizes_graph(support: int, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """[steps] int32: how many positions each step has; arguments of `coding_order_graph`."""
  steps = tf.range(_num_steps(support, height, width))
  return _positions(support, steps, height, width)[1]


def segments(sizes: np.ndarray) -> list[Segment]:
  """Divides steps of these sizes into runs of about 2^14 positions, or else of one step."""
  begins = np.concatenate([[0], np.cumsum(sizes)])
  edges = np.searchsorted(begins, np.arange(0, begins[-1], _SEGMENT))
  edges = np.unique([*edges, len(sizes)]).tolist()
  return [
    Segment(first, last, int(begins[first]), int(begins[last]))
    for first, last in zip(edges, edges[1:])
  ]


def scan_steps_graph(
  networks: Networks,
  coder: SymbolCoder,
  handle: tf.Tensor,
  psi: tf.Tensor,
  where: tf.Tensor,
  ring: tf.Tensor,
  steps: tuple[tf.Tensor, tf.Tensor],
  size: tuple[tf.Tensor, tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
  """Encodes or decodes the latents of some steps: the autoregressive loop.

  Args:
    networks: the exact networks.
    coder: `Encoder` or `Decoder`.
    handle: the range coder's state.
    psi: [n, ...] of any dtype, from h_s, at the positions of these steps as coded.
    where: [n] int32, passed to `coder`: which positions these are.
    ring: ring buffer of the last S steps, see `empty_ring_graph`: their ŷ as `networks` split it.
      In each part, row i of step t is at R (t % S) + i % R, and zeros, for positions outside the
      image, at S R.
    steps: the first and the one after the last.
    size: height and width of the image of latents.

  Returns:
    The next state, the next ring, and ŷ [n, M] float32 in the order of coding: int16-valued, in
    units of `y_step`.
  """
  (first, last), channels, support = steps, ring.shape[-1], networks.context_support
  prepared = networks.prepare(psi)
  ends = tf.cumsum(step_sizes_graph(support, *size)[first:last])
  if support:
    slots, taps = _slots(support, networks.num_parts, tf.shape(ring)[0], steps, size)

  def step(t, begin, ring, handle, latents):
    end = tf.gather(ends, t - first)
    neighbours = None
    if support:
      neighbours = tf.gather(ring, taps[:, begin:end])
      neighbours = tf.reshape(neighbours, [networks.num_parts, -1, taps.shape[-1] * channels])
    mean, table_index = networks.parameters(prepared[begin:end], neighbours)
    handle, y_hat = coder(handle, mean, table_index, where[begin:end])
    latents = latents.write(t - first, y_hat)
    if support:
      ring = tf.tensor_scatter_nd_update(ring, slots[:, begin:end], networks.split(y_hat))
    return t + 1, end, ring, handle, latents

  scalar = tf.TensorShape([])
  latents = tf.TensorArray(
    tf.float32, last - first, infer_shape=False, element_shape=[None, channels]
  )
  _, _, ring, handle, latents = tf.while_loop(
    lambda t, *_: t < last,
    step,
    (first, tf.constant(0), ring, handle, latents),
    shape_invariants=(scalar, scalar, ring.shape, scalar, tf.TensorShape(None)),
    parallel_iterations=8,  # An encoder's range coder may lag behind.
  )
  return handle, ring, latents.concat()


def _num_steps(support, height, width):
  if support:
    return width + Reach(support).slope * (height - 1)
  return (height * width + _BLOCK - 1) // _BLOCK


def _positions(support, step, height, width):
  """The first row of a step, and how many positions it has."""
  if not support:
    return tf.zeros_like(step), tf.minimum(_BLOCK, height * width - step * _BLOCK)
  slope = Reach(support).slope
  first_row = tf.maximum(0, (step - width + slope) // slope)
  return first_row, tf.minimum(step // slope, height - 1) - first_row + 1


def _slots(support, parts, num_slots, steps, size):
  """Where the ring has the positions of some steps, and their neighbours.

  Returns:
    [parts, n, 1], and [parts, n, taps] at the taps of the mask, in raster order of the taps.
  """
  reach = Reach(support)
  a_part = num_slots // parts
  most = a_part // reach.steps
  step = tf.range(*steps)
  first_row, count = _positions(support, step, *size)
  row = tf.ragged.range(first_row, first_row + count).values[:, None]
  step = tf.repeat(step, count)[:, None]

  def slot(step, row):
    return step % reach.steps * most + row % most

  up, back = row - reach.up, step - reach.back
  column = back - reach.slope * up
  is_inside = (up >= 0) & (column >= 0) & (column < size[1])
  taps = tf.where(is_inside, slot(back, up), reach.steps * most)
  begins = a_part * tf.range(parts)[:, None, None]
  return begins + slot(step, row), begins + taps
