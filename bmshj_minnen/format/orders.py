"""The orders in which latents are coded, by name: the paper's causal one, and patterns of passes.

A pattern is a small array that repeats over the image of latents. It gives the pass in which the
latents at a row, a column and of a slice of channels are coded:

    orders.register("checkerboard", [[0, 1], [1, 0]])
    orders.register("two slices", [[[0, 1]]])

In a pass all latents are independent of each other, and each depends on the latents around it that
earlier passes have coded. From this follow the mask of g_cm in training (`Order.masks`) and the
loop of the entropy coder (`coding.passes`).
"""

import dataclasses
from typing import Any, Optional

import numpy as np

from bmshj_minnen import checks
from bmshj_minnen.config import PAPERS_ORDER
from bmshj_minnen.format.geometry import causal_mask

__all__ = ["Order", "order_of", "register"]


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
  """An order of coding.

  Attributes:
    pattern: [rows, columns, slices] int32, the passes; None: the causal order, in which each
      position depends on those above it and on its left.
  """

  pattern: Optional[np.ndarray] = None

  @property
  def slices(self) -> int:
    """The number of slices of channels, which have equal size and networks of their own."""
    return 1 if self.pattern is None else self.pattern.shape[2]

  @property
  def period(self) -> tuple[int, int]:
    """Rows and columns after which the order repeats."""
    return (1, 1) if self.pattern is None else self.pattern.shape[:2]

  def masks(self, support: int, part: int) -> np.ndarray:
    """The neighbours that the latents of a slice depend on.

    Args:
      support: odd side of the kernel.
      part: the slice.

    Returns:
      [rows, columns, support, support, slices] bool: for each place in the pattern the slices of
      the positions around it that are coded earlier.
    """
    if self.pattern is None:
      return causal_mask(support, "A").astype(bool)[None, None, :, :, None]
    rows, columns = self.period
    row, column, up, left = np.ogrid[:rows, :columns, :support, :support]
    around = self.pattern[
      (row + up - support // 2) % rows, (column + left - support // 2) % columns
    ]
    return around < self.pattern[:, :, None, None, part, None]


_ORDERS: dict[str, Order] = {}
# D. He et al., "Checkerboard context model for efficient learned image compression", CVPR 2021;
# D. Minnen and S. Singh, "Channel-wise autoregressive entropy models", ICIP 2020.
_SHIPPED = {
  PAPERS_ORDER: None,
  "checkerboard": [[0, 1], [1, 0]],
  "channel_slices": [[[0, 1, 2, 3]]],
}


def register(name: str, pattern: Any) -> None:
  """Gives a pattern to models whose `config.order` is this name.

  A notebook cell may run twice, so a name may be registered again, unless it ships.

  Args:
    name: the name.
    pattern: integers [rows, columns], or [rows, columns, slices] for slices of channels: numbers of
      passes from 0 on, without gaps; each pass codes one slice.

  Raises:
    ValueError: the name ships, or the array is not such a pattern.
  """
  if name in _SHIPPED:
    raise ValueError(f"the order {name!r} ships: choose another name")
  _ORDERS[name] = Order(_checked(name, pattern))


def order_of(name: str) -> Order:
  """The order that is registered under a name, such as `config.order`.

  Raises:
    ValueError: there is none.
  """
  checks.registered("order", name, _ORDERS)
  return _ORDERS[name]


def _checked(name, pattern):
  try:
    pattern = np.asarray(pattern)
  except ValueError as error:  # Rows of different lengths.
    raise ValueError(f"the order {name!r} must have rows of one length") from error
  if pattern.ndim == 2:
    pattern = pattern[:, :, None]
  if pattern.ndim != 3 or not pattern.size or pattern.dtype.kind != "i":
    raise ValueError(f"the order {name!r} must be integers [rows, columns] or with slices")
  passes = [set(pattern[:, :, part].flat) for part in range(pattern.shape[2])]
  if sorted(sum(map(list, passes), [])) != list(range(len(set().union(*passes)))):
    raise ValueError(
      f"the order {name!r} must number its passes from 0 without gaps, and each pass must code one"
      " slice"
    )
  return pattern.astype(np.int32)


for _name, _pattern in _SHIPPED.items():
  _ORDERS[_name] = Order(None if _pattern is None else _checked(_name, _pattern))
