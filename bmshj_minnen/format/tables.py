"""The tables that symbols are coded with, and what becomes of values outside them."""

import dataclasses

import numpy as np

__all__ = ["BYTE_TABLE", "ESCAPE_OFFSET", "MAX_VALUE", "PRECISION", "Tables", "concatenate"]

PRECISION = 16  # Bits of a table's probabilities; the most that tfc's coder takes.
# An escaped value is stored as two bytes, the high one first, offset by this.
ESCAPE_OFFSET = 2**15
MAX_VALUE = ESCAPE_OFFSET - 1


@dataclasses.dataclass(frozen=True)
class Tables:
  """Cumulative distributions, as tfc's range coder takes them.

  Attributes:
    cdf: [total] int32, for each table PRECISION, then 0, c_1, ..., 2**PRECISION.
    offset: [tables] int32, the value of each table's first symbol.
    escape: [tables] int32, the last symbol of each table.
  """

  cdf: np.ndarray
  offset: np.ndarray
  escape: np.ndarray


def concatenate(tables: list[Tables]) -> Tables:
  """Puts the tables of several densities behind each other."""
  return Tables(*(np.concatenate(arrays) for arrays in zip(*map(dataclasses.astuple, tables))))


# Of the two bytes behind an escape, all alike.
BYTE_TABLE = Tables(
  np.concatenate([[PRECISION], np.arange(257) << (PRECISION - 8)]).astype(np.int32),
  np.zeros(1, np.int32),
  np.full(1, 255, np.int32),
)
