"""Cost of tables beyond the entropy of their Gaussians, against SciPy's relative entropy."""

import numpy as np
import pytest
from scipy import stats

from experiments.compressai import tables


@pytest.mark.parametrize("scale", [0.3, 5.0, 100.0])
def test_the_cost_is_the_relative_entropy(scale):
  end = 9 * int(scale) + 9
  edges = np.arange(-end, end + 2) - 0.5

  def widths(scale):
    """The widths of a table with an escape that is never taken."""
    return np.maximum(np.append(np.diff(stats.norm.cdf(edges, scale=scale)), 0), 1e-300)

  p = widths(scale)
  assert tables.excess(p, -end, scale) == pytest.approx(0, abs=1e-9)
  # The table of a Gaussian that is wider by a fifth.
  q = widths(1.2 * scale)
  expected = 100 * stats.entropy(p, q) / stats.entropy(p)
  assert tables.excess(q, -end, scale) == pytest.approx(expected, rel=1e-6)


def test_our_tables_cost_little():
  ours = tables.ours()
  assert len(ours) == 64 and all(widths.sum() == 2**16 for widths, _ in ours)
  assert {widths[-1] for widths, _ in ours} == {1}
  costs = [tables.excess(*table, scale) for table, scale in zip(ours, tables.scale_table())]
  assert round(costs[-1], 3) == 0.084
  assert max(costs[20:]) == costs[-1] and min(costs) >= 0
