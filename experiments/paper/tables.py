"""The tables of the study, in Markdown."""

from collections.abc import Sequence

import numpy as np

from bmshj_minnen.evaluation import cautions, classical, curves, markdown, measurements, rate_tables
from bmshj_minnen.evaluation.published import left_out, published
from experiments.paper import yardsticks

__all__ = ["PUBLISHED_ANCHORS", "all_tables", "published_rates"]

JOINT = "minnen-2018-neurips-opt-mse"
# Bjøntegaard rates against each codec, per cent, from the paper's abstract.
PUBLISHED_ANCHORS = {
  "balle-2018-iclr-opt-mse": -15.8,
  "jpeg420": -59.8,
  "j2k-opj5": -35.0,
  "bpg444": -8.4,
}
_PUBLISHED_TESTS = ["minnen-2018-neurips-opt-mse", "minnen-2018-neurips-opt-msssim", "bpg444"]
_PUBLISHED_COLUMNS = ["minnen-2018-neurips-opt-mse", "balle-2018-iclr-opt-mse", "bpg444", "jpeg420"]


def published_rates(metric: str) -> dict[str, float]:
  """Bjøntegaard rates of the published joint model against all other published curves."""
  points = published(metric)
  joint = points.pop(JOINT)
  return {codec: curves.bd_rate(anchor, joint) for codec, anchor in points.items()}


def all_tables(rows: Sequence[measurements.Row], anchor: str) -> str:
  """All numbers of the study, in Markdown.

  Args:
    rows: results of `evaluate`; compared with published curves if they cover all 24 Kodak images,
      otherwise the text states that these are left out.
    anchor: the measured codec that single images are compared with.
  """
  parts = ["# Tables", _published(), left_out(rows), *cautions.of_averages(rows)]
  parts.append(yardsticks.table(rows))
  for metric in curves.METRICS:
    by_image = rate_tables.by_image(rows, metric, anchor)
    parts += [_rates(rows, metric), _single_points(rows, metric), by_image]
  return "\n\n".join(part for part in [*parts, rate_tables.averages(rows)] if part) + "\n"


def _published():
  rates = {metric: published_rates(metric) for metric in curves.METRICS}
  lines = [
    [codec, *map(rate_tables.per_cent, (rate, PUBLISHED_ANCHORS.get(codec, np.nan), ms_ssim))]
    for codec, rate in rates["psnr"].items()
    for ms_ssim in [rates["ms_ssim"].get(codec, np.nan)]
  ]
  head = ["published joint model against", "PSNR", "abstract", "MS-SSIM"]
  return "## Bjøntegaard rates from published points alone\n\n" + markdown.table(head, lines)


def _named_curves(rows, metric):
  """Measured curves, and published ones, marked as such, where they may be compared."""
  points = {} if left_out(rows) else published(metric)
  return {
    **{f"published {codec}": own for codec, own in points.items()},
    **curves.measured(rows, metric),
  }


def _columns(named):
  names = [f"published {codec}" for codec in _PUBLISHED_COLUMNS] + list(classical.FORMATS)
  return [name for name in names if name in named]


def _rates(rows, metric):
  named = _named_curves(rows, metric)
  columns = _columns(named)
  tests = [f"published {codec}" for codec in _PUBLISHED_TESTS] + rate_tables.models(rows) + columns
  tests = [test for test in dict.fromkeys(tests) if test in named and len(named[test].bpp) > 1]
  if not tests:
    return cautions.too_few_curves(metric)
  return rate_tables.bjontegaard(named, tests, columns, metric)


def _single_points(rows, metric):
  named = _named_curves(rows, metric)
  columns = _columns(named)
  ours = rate_tables.models(rows)
  lines = []
  for entry in sorted(curves.averages(rows, metric), key=lambda e: (e["codec"], e["bpp"])):
    if entry["codec"] not in ours:
      continue
    quality = entry[curves.METRICS[metric].column]
    rates = [curves.relative_rate(named[column], entry["bpp"], quality) for column in columns]
    name = f"{entry['codec']} {entry['setting']}"
    lines.append([name, f"{entry['bpp']:.3f}", f"{quality:.2f}", *map(rate_tables.per_cent, rates)])
  title = f"## Bits of our models at equal {curves.METRICS[metric].title}"
  if not lines:
    return f"{title}\n\nNone: no model of ours was measured."
  text = f"{title}\n\n" + markdown.table(["", "bpp", "dB", *columns], lines)
  return text + ("\n\n–: no curve at this quality." if "| – " in text else "")
