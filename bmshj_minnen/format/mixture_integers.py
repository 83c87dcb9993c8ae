"""The integers with which mixtures of densities are coded, see `coding.mixture_symbols`."""

import dataclasses
from typing import Callable

import numpy as np

from bmshj_minnen.format.tables import PRECISION, Tables

__all__ = [
  "FRACTION_BITS",
  "LOGIT_STEP",
  "MASS_BITS",
  "POSITION_BITS",
  "IntegerMixture",
  "binary_tables",
  "half_probabilities",
  "make",
]

LOGIT_STEP = 2.0**-6  # The unit of integer logits.
POSITION_BITS = 12  # Inverse scales are in units of 2^-12 fractions.
FRACTION_BITS = 8  # Between two entries of the cumulative there are 2^8 fractions.
MASS_BITS = 24  # Masses are in units of 2^-24, before weights.
_PER_SCALE, _SCALES_AROUND = 64, 16  # Entries for each scale; scales on both sides of the mean.
_WEIGHT_BITS, _LEAST_LOG_WEIGHT = 16, 16.0
_BINARY, _LARGEST_LOGIT = 401, 11.09  # Number of binary tables, about; log(2^16).


@dataclasses.dataclass(frozen=True)
class IntegerMixture:
  """The integers of a mixture.

  Attributes:
    cumulative: [2049] int32, the cumulative of the family at scale 1, from -16 to 16.
    inverse_scales: [64] int64, units of position for half a unit of `y_step`, for each scale.
    exponentials: [1025] int32, weights by the difference of a logit from the largest one.
  """

  cumulative: np.ndarray
  inverse_scales: np.ndarray
  exponentials: np.ndarray


def make(
  cdf: Callable[[np.ndarray], np.ndarray], scales: np.ndarray, y_step: float
) -> IntegerMixture:
  """The integers of a family of densities.

  Args:
    cdf: its cumulative at scale 1, [n] float64 -> [n].
    scales: [64] float64.
    y_step: the unit of means.
  """
  x = np.arange(-_SCALES_AROUND * _PER_SCALE, _SCALES_AROUND * _PER_SCALE + 1) / _PER_SCALE
  cumulative = np.maximum.accumulate(np.round(2**MASS_BITS * np.asarray(cdf(x), np.float64)))
  units = _PER_SCALE * 2.0 ** (FRACTION_BITS + POSITION_BITS)
  differences = np.arange(_LEAST_LOG_WEIGHT / LOGIT_STEP + 1) * LOGIT_STEP
  return IntegerMixture(
    cumulative.astype(np.int32),
    np.round(units * y_step / 2 / scales).astype(np.int64),
    np.round(2**_WEIGHT_BITS * np.exp(-differences)).astype(np.int32),
  )


def binary_tables() -> Tables:
  """Tables of two values, 0 and 1, and the escape, which is never used; 0 grows likelier."""
  logits = np.linspace(-_LARGEST_LOGIT, _LARGEST_LOGIT, _BINARY)
  zeros = np.unique(np.clip(np.round(2**PRECISION / (1 + np.exp(-logits))), 1, 2**PRECISION - 2))
  count = len(zeros)
  columns = [PRECISION, 0, zeros, 2**PRECISION - 1, 2**PRECISION]
  cdf = np.stack([np.broadcast_to(column, count) for column in columns], 1)
  ones = np.ones(count, np.int32)
  return Tables(cdf.reshape(-1).astype(np.int32), 0 * ones, 2 * ones)


def half_probabilities(zeros: np.ndarray) -> np.ndarray:
  """The middles between neighbouring probabilities of 0: [n] -> [n - 1], rounded down."""
  return (zeros[1:] + zeros[:-1]) // 2
