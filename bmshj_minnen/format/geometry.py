"""The latents on which a position depends, and the order in which they can be coded."""

import numpy as np

__all__ = ["Reach", "causal_mask", "polyphase_support"]


def causal_mask(support: int, mask_type: str) -> np.ndarray:
  """The causal mask of van den Oord et al. (2016), for raster order.

  Args:
    support: odd side of the kernel.
    mask_type: "A" excludes the current position, "B" includes it.

  Returns:
    [support, support] float32: 1 above the centre and left of it in its row, else 0.

  Raises:
    ValueError: the support is even, or the type is neither "A" nor "B".
  """
  if support % 2 != 1:
    raise ValueError(f"the kernel support must be odd, not {support}")
  if mask_type not in ("A", "B"):
    raise ValueError(f"mask_type must be 'A' or 'B', not {mask_type!r}")
  position = np.arange(support * support).reshape(support, support)
  center = support * support // 2
  return (position < center + (mask_type == "B")).astype(np.float32)


class Reach:
  """The places of the neighbours of a causal mask.

  Latents are coded in steps: the position at row i, column j belongs to step j + slope i.

  Args:
    support: side of the kernel; 0 without context.

  Attributes:
    slope: columns that a row lags behind the row above it.
    up, back: [taps] int, in raster order: rows up, and steps back; a column is one step.
    steps: the largest number of steps back.
  """

  def __init__(self, support: int):
    rows, columns = np.nonzero(causal_mask(support, "A")) if support else np.empty([2, 0], int)
    self.slope = support // 2 + 1
    self.up = support // 2 - rows
    self.back = self.slope * self.up + support // 2 - columns
    self.steps = int(self.back.max(initial=0))  # 8 for a 5x5 mask: two rows up, two columns left.


def polyphase_support(support: int, stride: int) -> int:
  """The side of the kernel of a transposed convolution in polyphase form, see `kernels.polyphase`.

  Args:
    support: side of the kernel of the transposed convolution, odd.
    stride: its stride upwards.
  """
  return 2 * -(-(support // 2) // stride) + 1
