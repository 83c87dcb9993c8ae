"""The order of the latents in a file, for arrays and for tensors.

With the paper's 5x5 causal mask, the latent at row i, column j needs the two rows above up to
column j + 2 and its left neighbours in its own row. So all positions with the same t = j + 3 i are
independent of each other, and a 32x48 image of latents takes 141 steps instead of 1,536. Symbols
are ordered by t, then by row, channels innermost. Other masks have another `Reach`. Priors without
context take 2^16 positions per step, in raster order.

Heights and widths are the size of the image of latents: numbers, or scalar int32 tensors, for which
results are tensors, see `arrays`.
"""

from typing import Any, NamedTuple

import numpy as np

from bmshj_minnen.coding.arrays import namespace
from bmshj_minnen.format.geometry import Reach

__all__ = [
  "Segment",
  "coding_order",
  "empty_ring",
  "num_steps",
  "segments",
  "slots",
  "step_sizes",
]

_BLOCK = 2**16  # Positions per step for priors without context; part of the format.
_SEGMENT = 2**12  # Positions in memory at the same time; not part of the format.


class Segment(NamedTuple):
  """A run of steps, and the range of their positions in the order of coding; ends exclusive."""

  first_step: int
  last_step: int
  begin: int
  end: int


def coding_order(support: int, height: Any, width: Any) -> Any:
  """[height * width] int32: the raster index of each position, in the order of coding.

  Args:
    support: side of the causal kernel; 0 without context.
    height, width: size of the image of latents.
  """
  xp = namespace(height)
  if not support:
    return xp.range(height * width)
  row = xp.repeat(xp.range(height, dtype=xp.int64), width)
  column = xp.tile(xp.range(width, dtype=xp.int64), [height])
  key = (column + Reach(support).slope * row) * xp.cast(height, xp.int64) + row
  return xp.argsort(key)


def num_steps(support: int, height: Any, width: Any) -> Any:
  """The number of steps of an image; arguments as in `coding_order`."""
  if support:
    return width + Reach(support).slope * (height - 1)
  return (height * width + _BLOCK - 1) // _BLOCK


def step_sizes(support: int, height: Any, width: Any) -> Any:
  """[steps] int32: the number of positions in each step; arguments as in `coding_order`."""
  steps = namespace(height).range(num_steps(support, height, width))
  return _positions(support, steps, height, width)[1]


def segments(sizes: np.ndarray) -> list[Segment]:
  """Divides steps into runs of about 2^12 positions, or of one larger step.

  Args:
    sizes: [steps] int, positions in each step.
  """
  begins = np.concatenate([[0], np.cumsum(sizes)])
  edges = np.searchsorted(begins, np.arange(0, begins[-1], _SEGMENT))
  edges = np.unique([*edges, len(sizes)]).tolist()
  return [
    Segment(first, last, int(begins[first]), int(begins[last]))
    for first, last in zip(edges, edges[1:])
  ]


def empty_ring(support: int, parts: int, height: Any, width: Any, channels: int) -> Any:
  """An empty ring buffer of ŷ of the last S steps: [parts * (S R + 1), channels] zeros, float32.

  S is the largest number of steps that a neighbour is back (eight with the paper's mask), and R the
  largest number of positions in a step. In each part, row i of step t is at R (t % S) + i % R. The
  row at S R stays zero, for positions outside the image.

  Args:
    support: side of the causal kernel; 0 without context.
    parts: number of parts into which `fixed_point.split` divides ŷ.
    height, width: size of the image of latents.
    channels: M.
  """
  xp, reach = namespace(height), Reach(support)
  most = xp.minimum(height, (width + reach.slope - 1) // reach.slope)
  return xp.zeros([parts * (reach.steps * most + 1), channels], xp.float32)


def slots(
  support: int, parts: int, num_slots: Any, steps: tuple[Any, Any], size: tuple[Any, Any]
) -> tuple[Any, Any]:
  """The rows of a ring buffer that hold the positions of some steps, and their neighbours.

  Args:
    support: side of the causal kernel, not 0.
    parts: number of parts of the ring.
    num_slots: number of its rows.
    steps: the first step and the step after the last.
    size: height and width of the image of latents.

  Returns:
    Rows of the n positions, [parts, n, 1] int32, and rows of their neighbours at the taps of the
    mask in raster order, [parts, n, taps] int32.
  """
  xp, reach = namespace(num_slots), Reach(support)
  a_part = num_slots // parts
  most = a_part // reach.steps
  step = xp.range(*steps)
  first_row, count = _positions(support, step, *size)
  ends = xp.cumsum(count)
  row = (xp.repeat(first_row - (ends - count), count) + xp.range(ends[-1]))[:, None]
  step = xp.repeat(step, count)[:, None]

  def slot(step, row):
    return step % reach.steps * most + row % most

  up, back = row - reach.up, step - reach.back
  column = back - reach.slope * up
  is_inside = (up >= 0) & (column >= 0) & (column < size[1])
  taps = xp.where(is_inside, slot(back, up), reach.steps * most)
  begins = a_part * xp.range(parts)[:, None, None]
  return begins + slot(step, row), begins + taps


def _positions(support, step, height, width):
  """The first row of each step, and its number of positions."""
  xp = namespace(step)
  if not support:
    return xp.zeros_like(step), xp.minimum(_BLOCK, height * width - step * _BLOCK)
  slope = Reach(support).slope
  first_row = xp.maximum(0, (step - width + slope) // slope)
  return first_row, xp.minimum(step // slope, height - 1) - first_row + 1
