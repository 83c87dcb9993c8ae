"""The order of the latents in a file, for arrays and for tensors.

A `Schedule` has passes, each of which codes one slice of channels at some positions, in steps. The
positions of a step are independent of each other.

- `Wavefront`: the paper's causal order. With its 5x5 mask, the latent at row i, column j needs the
  two rows above up to column j + 2 and its left neighbours in its own row. So all positions with
  the same t = j + 3 i are independent of each other, and a 32x48 image of latents takes 141 steps
  instead of 1,536. Symbols are ordered by t, then by row. Other masks have another `Reach`.
- `Subset`: a pass of a pattern, see `format.orders`: its positions in raster order, 2^11 a step.
- `Raster`: priors without context: all positions in raster order, 2^16 a step.

At a position channels are innermost. A latent image is kept in rows: row p S + s has the channels
of slice s at position p, counted in raster order; with one slice, rows are positions.

Heights and widths are the size of the image of latents: numbers, or scalar int32 tensors, for which
results are tensors, see `arrays`.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np

from bmshj_minnen.coding.arrays import namespace
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.geometry import Reach
from bmshj_minnen.format.orders import Order

__all__ = ["Pass", "Raster", "Schedule", "Segment", "Subset", "Wavefront", "segments"]

_BLOCK = 2**16  # Positions per step for priors without context; part of the format.
_SUBSET_BLOCK = 2**11  # The same for passes of a pattern, whose neighbours are gathered.
_SEGMENT = 2**12  # Positions in memory at the same time; not part of the format.


class Segment(NamedTuple):
  """A run of steps, and the range of their positions in the order of coding; ends exclusive."""

  first_step: int
  last_step: int
  begin: int
  end: int


class Pass(Protocol):
  """A pass over an image of latents.

  Attributes:
    part: the slice of channels that it codes.
    has_context: whether latents depend on others, so that `slots` may be called.
    has_few_rows: False if a step with context has thousands of positions in place of tens.
  """

  part: int
  has_context: bool
  has_few_rows: bool

  def positions(self, height: Any, width: Any) -> Any:
    """[n] int32: the raster index of each position of the pass, in the order of coding."""

  def step_sizes(self, height: Any, width: Any) -> Any:
    """[steps] int32: the number of positions in each step."""

  def slots(
    self, parts: int, num_slots: Any, steps: tuple[Any, Any], size: tuple[Any, Any]
  ) -> tuple[Any, Any]:
    """The rows of the memory that hold the latents of some steps, and their neighbours.

    Args:
      parts: number of parts of the memory, see `Schedule.empty_memory`.
      num_slots: number of its rows.
      steps: the first step and the step after the last.
      size: height and width of the image of latents.

    Returns:
      Rows of the n positions, [parts, n, 1] int32, and rows of their neighbours at the taps of the
      mask in raster order, [parts, n, taps] int32; slices of a tap follow each other.
    """


class Schedule:
  """The passes of an order.

  Args:
    order: the order.
    support: side of the kernel of g_cm; 0 without context.

  Attributes:
    passes: the passes, in order.
    slices: the number of slices of channels.
  """

  def __init__(self, order: Order, support: int):
    self.slices, self._whole = order.slices, order.pattern is not None
    self._support = support
    if order.pattern is not None:
      self.passes = [Subset(order, support, number) for number in range(order.pattern.max() + 1)]
    else:
      self.passes = [Wavefront(support) if support else Raster()]

  @classmethod
  def of(cls, frozen: FrozenPrior) -> "Schedule":
    """The schedule of a prior."""
    config = frozen.config
    return cls(frozen.order, config.context_support if config.parts.context else 0)

  def empty_memory(self, parts: int, height: Any, width: Any, channels: int) -> Any:
    """A memory of coded ŷ, [parts * rows, channels / slices] zeros, float32.

    In each part the last row stays zero, for positions that are not seen. For patterns the other
    rows are those of the image. For the causal order they are a ring buffer of the last S steps: S
    is the largest number of steps that a neighbour is back (eight with the paper's mask), and R the
    largest number of positions in a step; row i of step t is at R (t % S) + i % R.

    Args:
      parts: number of parts into which `fixed_point.split` divides ŷ.
      height, width: size of the image of latents.
      channels: M.
    """
    xp = namespace(height)
    if self._whole:
      rows = height * width * self.slices
    else:
      reach = Reach(self._support)
      rows = reach.steps * xp.minimum(height, (width + reach.slope - 1) // reach.slope)
    return xp.zeros([parts * (rows + 1), channels // self.slices], xp.float32)


class Raster:
  """All positions in raster order; none depends on another."""

  part, has_context, has_few_rows = 0, False, True

  def positions(self, height: Any, width: Any) -> Any:
    return namespace(height).range(height * width)

  def step_sizes(self, height: Any, width: Any) -> Any:
    return _block_sizes(height * width, _BLOCK)


class Wavefront:
  """All positions, by diagonals on which none depends on another.

  Args:
    support: side of the causal kernel.
  """

  part, has_context, has_few_rows = 0, True, True

  def __init__(self, support: int):
    self._reach = Reach(support)

  def positions(self, height: Any, width: Any) -> Any:
    xp = namespace(height)
    row = xp.repeat(xp.range(height, dtype=xp.int64), width)
    column = xp.tile(xp.range(width, dtype=xp.int64), [height])
    key = (column + self._reach.slope * row) * xp.cast(height, xp.int64) + row
    return xp.argsort(key)

  def step_sizes(self, height: Any, width: Any) -> Any:
    steps = namespace(height).range(width + self._reach.slope * (height - 1))
    return self._positions(steps, height, width)[1]

  def slots(
    self, parts: int, num_slots: Any, steps: tuple[Any, Any], size: tuple[Any, Any]
  ) -> tuple[Any, Any]:
    xp, reach = namespace(num_slots), self._reach
    a_part = num_slots // parts
    most = a_part // reach.steps
    step = xp.range(*steps)
    first_row, count = self._positions(step, *size)
    ends = xp.cumsum(count)
    position = xp.range(ends[-1])
    # In graphs `repeat` takes six times as many operations.
    index = xp.searchsorted(ends, position + 1)
    row = (xp.gather(first_row - (ends - count), index) + position)[:, None]
    step = xp.gather(step, index)[:, None]

    def slot(step, row):
      return step % reach.steps * most + row % most

    up, back = row - reach.up, step - reach.back
    column = back - reach.slope * up
    is_inside = (up >= 0) & (column >= 0) & (column < size[1])
    taps = xp.where(is_inside, slot(back, up), reach.steps * most)
    return _in_parts(parts, a_part, slot(step, row), taps)

  def _positions(self, step, height, width):
    """The first row of each step, and its number of positions."""
    xp, slope = namespace(step), self._reach.slope
    first_row = xp.maximum(0, (step - width + slope) // slope)
    return first_row, xp.minimum(step // slope, height - 1) - first_row + 1


class Subset:
  """The positions of one pass of a pattern; they depend on earlier passes alone.

  Args:
    order: the order, which has a pattern.
    support: side of the kernel.
    number: the number of the pass.
  """

  has_context, has_few_rows = True, False

  def __init__(self, order: Order, support: int, number: int):
    self._pattern, self._number = order.pattern, number
    self.part = int(np.argwhere(order.pattern == number)[0, 2])
    # All that some position of this slice sees, whatever its pass.
    seen = np.argwhere(order.masks(support, self.part).any((0, 1)))
    self._up, self._left, self._slices = (seen - [support // 2, support // 2, 0]).T.astype(np.int32)

  def positions(self, height: Any, width: Any) -> Any:
    xp = namespace(height)
    index = xp.range(height * width)
    place = self._place(index // width, index % width)
    passes = xp.gather(xp.constant(self._pattern[:, :, self.part].reshape(-1), xp.int32), place)
    return xp.flatnonzero(passes == self._number)

  def step_sizes(self, height: Any, width: Any) -> Any:
    count = namespace(height).shape(self.positions(height, width))[0]
    return _block_sizes(count, _SUBSET_BLOCK)

  def slots(
    self, parts: int, num_slots: Any, steps: tuple[Any, Any], size: tuple[Any, Any]
  ) -> tuple[Any, Any]:
    xp, slices = namespace(num_slots), self._pattern.shape[2]
    a_part, (height, width) = num_slots // parts, size
    position = self.positions(*size)[steps[0] * _SUBSET_BLOCK : steps[1] * _SUBSET_BLOCK][:, None]
    row, column = position // width + self._up, position % width + self._left
    place = self._place(row, column) * slices + self._slices
    passes = xp.gather(xp.constant(self._pattern.reshape(-1), xp.int32), place)
    is_seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    is_seen &= passes < self._number
    taps = xp.where(is_seen, (row * width + column) * slices + self._slices, a_part - 1)
    return _in_parts(parts, a_part, position * slices + self.part, taps)

  def _place(self, row, column):
    """Index of a position in the pattern, without its slices."""
    rows, columns = self._pattern.shape[:2]
    return row % rows * columns + column % columns


def _block_sizes(count, block):
  """[steps] int32: positions in steps of equal size; the last one has what is left."""
  xp = namespace(count)
  steps = xp.range(xp.maximum(1, (count + block - 1) // block))
  return xp.minimum(block, count - steps * block)


def _in_parts(parts, a_part, rows, taps):
  begins = a_part * namespace(rows).range(parts)[:, None, None]
  return begins + rows, begins + taps


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
