"""The tables of the study, in Markdown."""

from collections.abc import Sequence

import numpy as np

from bmshj_minnen.evaluation import classical, measurements
from experiments.paper import curves

__all__ = ["PUBLISHED_ANCHORS", "all_tables", "our_codecs", "published_rates"]

JOINT = "minnen-2018-neurips-opt-mse"
# What the abstract of the paper says of each, per cent.
PUBLISHED_ANCHORS = {
  "balle-2018-iclr-opt-mse": -15.8,
  "jpeg420": -59.8,
  "j2k-opj5": -35.0,
  "bpg444": -8.4,
}
_PUBLISHED_TESTS = ["minnen-2018-neurips-opt-mse", "minnen-2018-neurips-opt-msssim", "bpg444"]
_PUBLISHED_COLUMNS = ["minnen-2018-neurips-opt-mse", "balle-2018-iclr-opt-mse", "bpg444", "jpeg420"]


def our_codecs(rows: Sequence[measurements.Row]) -> list[str]:
  """Codecs of a table that are not classical ones."""
  return list(dict.fromkeys(row.codec for row in rows if row.codec not in classical.FORMATS))


def published_rates(metric: str) -> dict[str, float]:
  """Bjøntegaard rates of the published joint model against all other published curves."""
  points = curves.published(metric)
  joint = points.pop(JOINT)
  return {codec: curves.bd_rate(anchor, joint) for codec, anchor in points.items()}


def all_tables(rows: Sequence[measurements.Row], anchor: str) -> str:
  """Everything that the study tells in numbers.

  Args:
    rows: what `evaluate` measured on the Kodak images.
    anchor: the measured codec that single images are compared with.
  """
  parts = ["# Tables", _published()]
  for metric in curves.METRICS:
    parts += [_rates(rows, metric), _single_points(rows, metric), _by_image(rows, metric, anchor)]
  return "\n\n".join(part for part in [*parts, _averages(rows)] if part) + "\n"


def _published():
  rates = {metric: published_rates(metric) for metric in curves.METRICS}
  lines = [
    [codec, _per_cent(rate), _per_cent(PUBLISHED_ANCHORS.get(codec, np.nan)), ms_ssim]
    for codec, rate in rates["psnr"].items()
    for ms_ssim in [_per_cent(rates["ms_ssim"].get(codec, np.nan))]
  ]
  head = ["published joint model against", "PSNR", "abstract", "MS-SSIM"]
  return "## Bjøntegaard rates from published points alone\n\n" + _table(head, lines)


def _named_curves(rows, metric):
  """Published curves, marked as such, and measured ones."""
  published = curves.published(metric)
  return {
    **{f"published {codec}": published[codec] for codec in published},
    **curves.measured(rows, metric),
  }


def _columns(rows):
  measured = [codec for codec in classical.FORMATS if any(row.codec == codec for row in rows)]
  return [f"published {codec}" for codec in _PUBLISHED_COLUMNS] + measured


def _rates(rows, metric):
  named = _named_curves(rows, metric)
  columns = _columns(rows)
  tests = [f"published {codec}" for codec in _PUBLISHED_TESTS]
  tests += [*our_codecs(rows), *(column for column in columns if column not in tests)]
  lines = [
    [test, *(_per_cent(curves.bd_rate(named[column], named[test])) for column in columns)]
    for test in dict.fromkeys(tests)
    if len(named[test].bpp) > 1
  ]
  title = f"## Bjøntegaard rates, {curves.METRICS[metric].title}: a row's bits against a column's"
  return f"{title}\n\n" + _table(["", *columns], lines)


def _single_points(rows, metric):
  named = _named_curves(rows, metric)
  columns = _columns(rows)
  lines = []
  ours = measurements.averages([row for row in rows if row.codec in our_codecs(rows)])
  for entry in sorted(ours, key=lambda entry: (entry["codec"], entry["bpp"])):
    quality = entry[curves.METRICS[metric].column]
    rates = [curves.relative_rate(named[column], entry["bpp"], quality) for column in columns]
    name = f"{entry['codec']} {entry['setting']}"
    lines.append([name, f"{entry['bpp']:.3f}", f"{quality:.2f}", *map(_per_cent, rates)])
  if not lines:
    return ""
  head = ["", "bpp", "dB", *columns]
  return f"## Bits of our models at equal {curves.METRICS[metric].title}\n\n" + _table(head, lines)


def _by_image(rows, metric, anchor):
  averages = curves.measured(rows, metric)
  images = curves.measured_by_image(rows, metric).values()
  lines = []
  for codec in averages:
    rates = [curves.bd_rate(image[anchor], image[codec]) for image in images if codec in image]
    rates = [rate for rate in rates if np.isfinite(rate)]
    if codec != anchor and rates:
      each = (curves.bd_rate(averages[anchor], averages[codec]), np.mean(rates), *_ends(rates))
      lines.append([codec, *map(_per_cent, each), str(len(rates))])
  if not lines:
    return ""
  head = [f"against {anchor}", "of averages", "mean of images", "lowest", "highest", "images"]
  title = f"## Bjøntegaard rates image by image, {curves.METRICS[metric].title}"
  return f"{title}\n\n" + _table(head, lines)


def _averages(rows):
  head = ["codec", "setting", "images", "bytes", "bpp", "PSNR", "MS-SSIM", "its dB"]
  lines = [
    [
      *(entry["codec"], entry["setting"], str(entry["images"]), f"{entry['bytes']:.0f}"),
      *(f"{entry['bpp']:.4f}", f"{entry['psnr_db']:.3f}", f"{entry['ms_ssim']:.5f}"),
      f"{entry['ms_ssim_db']:.3f}",
    ]
    for entry in measurements.averages(rows)
  ]
  return "## Averages over images\n\n" + _table(head, lines)


def _ends(values):
  return min(values), max(values)


def _per_cent(value):
  return f"{value:+.1f} %" if np.isfinite(value) else "–"


def _table(head, lines):
  rule = ["---", *["---:"] * (len(head) - 1)]
  return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
