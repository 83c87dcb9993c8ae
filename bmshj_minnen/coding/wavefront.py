"""The order of the latents in a file, and the only autoregressive loop.

With the 5x5 causal mask, the latent at row i, column j needs the two rows above up to column
j + 2 and its left neighbours in its own row. So all positions with the same t = j + 3 i are
independent of each other, and a 32x48 image of latents takes 141 steps instead of 1,536. Symbols
are ordered by t, then by row, channels innermost. Priors without context take one step, in raster
order.
"""

from typing import Protocol

import tensorflow as tf

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.frozen_prior import Networks
from bmshj_minnen.entropy.range_coder import MAX_VALUE, RangeCoder

__all__ = ["Decoder", "Encoder", "Side", "scan", "wavefront_order"]

_SLOPE = 3  # Columns that a row lags behind the one above it.
_REACH = 8  # Steps back to the farthest neighbour: two rows up, two columns left.


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
      where: [n] int32, positions in raster order.

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
    return handle, fixed_point.saturate(mean + tf.cast(value, tf.float32) * self._unit)


class Decoder:
  """Pops the differences and adds them to the means."""

  def __init__(self, coder: RangeCoder, unit: float, first_table: int):
    self._coder, self._unit, self._first_table = coder, unit, first_table

  def __call__(self, handle, mean, table, where):
    handle, value = self._coder.pop(handle, tf.reshape(table, [-1]) + self._first_table)
    symbol = tf.reshape(tf.cast(value, tf.float32), tf.shape(mean))
    return handle, fixed_point.saturate(mean + symbol * self._unit)


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
    side: `Encoder` or `Decoder`.
    handle: the range coder's state.
    psi: [height * width, ...] from h_s, raster order.
    height, width: of the image of latents.
    channels: M.

  Returns:
    The next state and ŷ [height * width, M] float32 on its grid, raster order.
  """
  if not networks.has_context:
    mean, table = networks.parameters(psi, None)
    return side(handle, mean, table, tf.range(height * width))
  return _scan_wavefront(networks, side, handle, psi, height, width, channels)


def _scan_wavefront(networks, side, handle, psi, height, width, channels):
  """`scan` with a context model: the autoregressive loop."""
  order = wavefront_order(height, width)
  psi = tf.gather(psi, order)
  steps = width + _SLOPE * (height - 1)

  def step(t, start, recent, handle, latents):
    first_row = tf.maximum(0, (t - width + _SLOPE) // _SLOPE)
    count = tf.minimum(t // _SLOPE, height - 1) - first_row + 1
    neighbours = _causal_neighbours(recent, first_row, count)
    mean, table = networks.parameters(psi[start : start + count], neighbours)
    handle, y_hat = side(handle, mean, table, order[start : start + count])
    latents = latents.write(t, y_hat)
    padding = [[first_row + 2, height - first_row - count], [0, 0]]
    recent = tf.concat([recent[1:], tf.pad(y_hat, padding)[None]], 0)
    return t + 1, start + count, recent, handle, latents

  state = (
    tf.constant(0),
    tf.constant(0),
    tf.zeros([_REACH, height + 2, channels]),
    handle,
    tf.TensorArray(tf.float32, steps, infer_shape=False, element_shape=[None, channels]),
  )
  _, _, _, handle, latents = tf.while_loop(
    lambda t, *_: t < steps,
    step,
    state,
    shape_invariants=(
      tf.TensorShape([]),
      tf.TensorShape([]),
      tf.TensorShape([_REACH, None, channels]),
      tf.TensorShape([]),
      tf.TensorShape(None),
    ),
    parallel_iterations=1,
  )
  return handle, tf.gather(latents.concat(), tf.math.invert_permutation(order))


def _causal_neighbours(recent: tf.Tensor, first_row: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
  """ŷ at the 12 taps of the mask, in raster order of the taps.

  Args:
    recent: [8, h + 2, M], the last eight steps; row i of an image is at index i + 2.
    first_row, count: the rows of the current step.

  Returns:
    [count, 12 M].
  """
  two_above = recent[0:5, first_row : first_row + count]
  above = recent[3:8, first_row + 1 : first_row + 1 + count]
  left = recent[6:8, first_row + 2 : first_row + 2 + count]
  taps = tf.transpose(tf.concat([two_above, above, left], 0), [1, 0, 2])
  return tf.reshape(taps, [count, 12 * recent.shape[-1]])
