"""The tables with which symbols are coded, and the escape for values outside them."""

import dataclasses

import numpy as np

__all__ = [
  "BYTE_TABLE",
  "ESCAPE_OFFSET",
  "MAX_VALUE",
  "PRECISION",
  "TAIL_MASS",
  "Tables",
  "concatenate",
]

PRECISION = 16  # Bits of the probabilities in tables: the maximum of tfc's range coder.
TAIL_MASS = 2.0**-PRECISION  # Probability left to the escape: the least that can be expressed.
# An escaped value is stored as two bytes, the high one first, offset by this.
ESCAPE_OFFSET = 2**15
MAX_VALUE = ESCAPE_OFFSET - 1


@dataclasses.dataclass(frozen=True)
class Tables:
  """Cumulative distributions in the layout of tfc's range coder.

  Attributes:
    cdf: [total] int32: PRECISION, then 0, c_1, ..., 2**PRECISION for each table.
    offset: [tables] int32, the value of each table's first symbol.
    escape: [tables] int32, the last symbol of each table.
  """

  cdf: np.ndarray
  offset: np.ndarray
  escape: np.ndarray


def concatenate(tables: list[Tables]) -> Tables:
  """Joins the tables of several densities in order."""
  return Tables(*(np.concatenate(arrays) for arrays in zip(*map(dataclasses.astuple, tables))))


# The uniform table of the two bytes behind an escape.
BYTE_TABLE = Tables(
  np.concatenate([[PRECISION], np.arange(257) << (PRECISION - 8)]).astype(np.int32),
  np.zeros(1, np.int32),
  np.full(1, 255, np.int32),
)
