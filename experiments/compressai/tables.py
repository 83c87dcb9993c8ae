"""Cost of probability tables: bits beyond the entropy of the rounded Gaussians they approximate."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from bmshj_minnen.entropy import range_coder
from bmshj_minnen.entropy.conditional import scale_table
from bmshj_minnen.entropy.gaussian_conditional import GaussianConditional

__all__ = ["costs", "excess", "ours"]

_SCALES = (0, 20, 40, 50, 63)  # Indices of the printed scales, out of 64.
_ESCAPED_BITS = 16  # Assumed number of bits after an escape.


def excess(widths: np.ndarray, first: int, scale: float) -> float:
  """Per cent of bits beyond the entropy of round(N(0, scale²)).

  Args:
    widths: [n + 1] probabilities with any sum; the last belongs to the escape.
    first: the value of the first symbol.
    scale: σ.
  """
  end = int(9 * scale) + 9
  values = np.arange(-end, end + 1)
  distance = np.abs(values)
  p = stats.norm.cdf((0.5 - distance) / scale) - stats.norm.cdf((-0.5 - distance) / scale)
  lengths = -np.log2(widths / widths.sum())
  symbol = values - first
  inside = (symbol >= 0) & (symbol < len(widths) - 1)
  bits = np.where(inside, lengths[np.where(inside, symbol, 0)], lengths[-1] + _ESCAPED_BITS)
  entropy = -(p[p > 0] * np.log2(p[p > 0])).sum()
  return float(100 * ((p * bits).sum() / entropy - 1))


def ours() -> list[tuple[np.ndarray, int]]:
  """Probabilities [n + 1] and first value, as in `excess`, for each of 64 scales."""
  tables = GaussianConditional().coding_tables()
  ends = np.flatnonzero(tables.cdf == 2**range_coder.PRECISION) + 1
  cdfs = np.split(tables.cdf, ends[:-1])
  return [(np.diff(cdf[1:]), int(first)) for cdf, first in zip(cdfs, tables.offset)]


def _theirs(state):
  names = ("_quantized_cdf", "_cdf_length", "_offset")
  rows = zip(*(state[f"gaussian_conditional.{name}"] for name in names))
  return [(np.diff(cdf[:length]), int(first)) for cdf, length, first in rows]


def costs(state: Mapping[str, np.ndarray]) -> dict[str, str]:
  """Lines to print, from the arrays of a checkpoint of CompressAI that was updated."""
  both = {"ours": ours(), "CompressAI": _theirs(state)}
  lines = {}
  for index in _SCALES:
    scale = scale_table()[index]
    for name, tables in both.items():
      widths, first = tables[index]
      cost = f"{len(widths) - 1} symbols, {excess(widths, first, scale):.3f} % beyond the entropy"
      lines[f"table of scale {scale:.2f}: {name}"] = cost
  for name, tables in both.items():
    most = max(widths[-1] for widths, _ in tables)
    lines[f"most of 65536 for an escape: {name}"] = str(most)
  return lines
