"""Which latents a position depends on, and in which order they can come."""

import numpy as np

__all__ = ["Reach", "causal_mask", "polyphase_support"]


def causal_mask(support: int, mask_type: str) -> np.ndarray:
  """The mask of van den Oord et al. (2016), raster order.

  Args:
    support: odd side of the kernel.
    mask_type: "A" excludes the current position, "B" includes it.

  Returns:
    [support, support] float32: 1 above the centre and left of it in its row, else 0.

  Raises:
    ValueError: the kernel has no centre, or there is no such type.
  """
  if support % 2 != 1:
    raise ValueError(f"the kernel support must be odd, not {support}")
  if mask_type not in ("A", "B"):
    raise ValueError(f"mask_type must be 'A' or 'B', not {mask_type!r}")
  position = np.arange(support * support).reshape(support, support)
  center = support * support // 2
  return (position < center + (mask_type == "B")).astype(np.float32)


class Reach:
  """Where the neighbours of a causal mask are.

  Latents are coded in steps: the position at row i, column j belongs to step j + slope i.

  Args:
    support: side of the kernel; 0 without context.

  Attributes:
    slope: columns that a row lags behind the one above it.
    up, back: [taps], in raster order: rows up, and steps back, of which a column is one.
    steps: the most steps back.
  """

  def __init__(self, support: int):
    rows, columns = np.nonzero(causal_mask(support, "A")) if support else np.empty([2, 0], int)
    self.slope = support // 2 + 1
    self.up = support // 2 - rows
    self.back = self.slope * self.up + support // 2 - columns
    self.steps = int(self.back.max(initial=0))  # Of a 5x5 mask 8: two rows up, two columns left.


def polyphase_support(support: int, stride: int) -> int:
  """The side of the kernel that a transposed convolution has as an ordinary one, see `polyphase`.

  Args:
    support: side of the kernel of the transposed convolution, odd.
    stride: upwards.
  """
  return 2 * -(-(support // 2) // stride) + 1
