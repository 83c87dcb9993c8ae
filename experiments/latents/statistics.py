"""The structure that a prior leaves in the latents: numbers over many photographs."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from bmshj_minnen.evaluation import markdown
from experiments.latents.anatomy import Anatomy

__all__ = ["Statistics", "statistics", "table"]

# In channels with fewer bits per latent nearly all errors are 0, so that kurtosis has no bound.
_LEAST_BITS = 1.0


@dataclasses.dataclass(frozen=True)
class Statistics:
  """Numbers over all latents of all photographs.

  Attributes:
    photographs: number of photographs.
    bpp: bits per pixel of the files.
    y_bpp, z_bpp: estimated bits per pixel of ŷ and ẑ.
    error: the mean of |ŷ - mean|.
    scale: the mean scale.

    The other attributes describe the normalized error. They are means over channels that take at
    least one bit per latent, each computed within a channel or a pair of channels; nan without
    such channels:

    channels: number of such channels.
    deviation: root of the mean square, about 1; rounding raises it, small scales lower it.
    horizontal, vertical: correlation of neighbours.
    across: |correlation| of two channels at the same position, over all pairs.
    across_floor: the expected `across` of independent channels with this number of positions.
    kurtosis: 3 for a Gaussian.
  """

  photographs: int
  bpp: float
  y_bpp: float
  z_bpp: float
  error: float
  scale: float
  channels: int
  deviation: float
  horizontal: float
  vertical: float
  across: float
  across_floor: float
  kurtosis: float


class _Correlation:
  """Pearson's correlation, by channel, of pairs that come in pieces."""

  def __init__(self):
    self._sums = 0.0

  def add(self, a: np.ndarray, b: np.ndarray) -> None:
    """Adds pairs [..., M] float64."""
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    ones = np.ones_like(a)
    self._sums += np.stack([v.sum(0) for v in (ones, a, b, a * a, b * b, a * b)])

  def value(self) -> np.ndarray:
    """Correlations [M]; nan where one side does not vary."""
    n, a, b, aa, bb, ab = self._sums
    with np.errstate(invalid="ignore", divide="ignore"):
      return (n * ab - a * b) / np.sqrt((n * aa - a * a) * (n * bb - b * b))


class _Moments:
  """Sums over positions, by channel, and products of channels."""

  def __init__(self):
    self.count = 0
    self.powers = self.products = 0.0  # [4, M] and [M, M].

  def add(self, e: np.ndarray) -> None:
    """Adds values [n, M] float64."""
    self.count += len(e)
    self.powers += np.stack([(e**k).sum(0) for k in range(1, 5)])
    self.products += e.T @ e

  def kurtosis(self) -> np.ndarray:
    """Kurtosis [M]; nan where nothing varies."""
    a, b, c, d = self.powers / self.count
    with np.errstate(invalid="ignore", divide="ignore"):
      return (d - 4 * a * c + 6 * a**2 * b - 3 * a**4) / (b - a**2) ** 2

  def across(self, chosen: np.ndarray) -> float:
    """The mean |correlation| of all pairs of channels whose indices [n] are chosen."""
    mean = self.powers[0] / self.count
    covariance = (self.products / self.count - np.outer(mean, mean))[np.ix_(chosen, chosen)]
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    return _mean(np.abs(correlation[np.triu_indices(len(correlation), 1)]))


def statistics(anatomies: Iterable[Anatomy]) -> Statistics:
  """The numbers of some photographs and one model; keeps one photograph in memory at a time."""
  horizontal, vertical, moments = _Correlation(), _Correlation(), _Moments()
  totals, bits = np.zeros(7), 0.0
  for one in anatomies:
    e = one.normalized.astype(np.float64)
    horizontal.add(e[:, :-1], e[:, 1:])
    vertical.add(e[:-1], e[1:])
    moments.add(e.reshape(-1, e.shape[-1]))
    bits = bits + one.bits.sum((0, 1), dtype=np.float64)
    sums = [v.sum(dtype=np.float64) for v in (np.abs(one.error), one.scale)]
    totals += [1, one.pixels, 8 * one.file_bytes, one.z_bits, e.size, *sums]
  photographs, pixels, file_bits, z_bits, latents, error, scale = totals
  chosen = np.flatnonzero(bits >= _LEAST_BITS * moments.count)
  return Statistics(
    photographs=int(photographs),
    bpp=file_bits / pixels,
    y_bpp=bits.sum() / pixels,
    z_bpp=z_bits / pixels,
    error=error / latents,
    scale=scale / latents,
    channels=len(chosen),
    deviation=math.sqrt(_mean(moments.powers[1][chosen]) / moments.count),
    horizontal=_mean(horizontal.value()[chosen]),
    vertical=_mean(vertical.value()[chosen]),
    across=moments.across(chosen),
    across_floor=math.sqrt(2 / (math.pi * moments.count)),
    kurtosis=_mean(moments.kurtosis()[chosen]),
  )


def table(rows: dict[str, Statistics]) -> str:
  """A table in Markdown, with a line for each name."""
  heads = ["model"] + [field.name.replace("_", " ") for field in dataclasses.fields(Statistics)]
  lines = []
  for name, row in rows.items():
    values = dataclasses.astuple(row)
    lines.append([name, *(f"{v}" if isinstance(v, int) else f"{v:.4f}" for v in values)])
  return markdown.table(heads, lines) + "\n"


def _mean(values):
  return float(np.mean(values)) if len(values) else math.nan
