"""Published curves that models are compared with, in groups: a table, a plot, and a check of ours.

Names of curves come from `evaluation/published_points/kodak.csv`. Curves whose name contains
`paper-` were read from papers and plots by CompressAI; all others were measured from files or their
sizes.
"""

import math
from collections.abc import Sequence
from typing import Any

from bmshj_minnen.evaluation import curves, markdown, measurements, plots, rate_tables
from bmshj_minnen.evaluation.line_styles import COLOURS, Appearance, appearances
from bmshj_minnen.evaluation.published import left_out, published

__all__ = ["GROUPS", "plot", "rates", "table"]

GROUPS = {
  "This paper's model, and what it is compared with there": {
    "balle-2018-iclr-opt-mse": "scale hyperprior",
    "minnen-2018-neurips-no-context": "mean & scale hyperprior, trained again later",
    "minnen-2018-neurips-opt-mse": "joint, the paper's points",
    "CompressAI bmshj2018-hyperprior_mse_8bit": "scale hyperprior, CompressAI",
    "CompressAI mbt2018-mean_mse_8bit": "mean & scale, CompressAI `mbt2018-mean`",
    "CompressAI mbt2018_mse_8bit": "joint, CompressAI `mbt2018`",
    "CompressAI mbt2018-mean-vbr-ans": "mean & scale for many rates, `mbt2018-mean-vbr`",
    "CompressAI mbt2018-vbr-ans": "joint for many rates, `mbt2018-vbr`",
  },
  "Later models": {
    "CompressAI paper-minnen2018-checkerboard_mse": "joint with a checkerboard context",
    "CompressAI cheng2020-anchor_mse_cpu": "Cheng 2020, anchor",
    "minnen-2020-icip": "Minnen & Singh 2020, channel-wise context",
    "CompressAI paper-elic2022_mse": "ELIC 2022",
  },
  "Classical codecs": {
    "jpeg420": "JPEG 4:2:0",
    "j2k-opj5": "JPEG 2000, OpenJPEG",
    "webp": "WebP",
    "bpg444": "BPG 4:4:4",
    "CompressAI hm": "HEVC, reference encoder HM",
    "CompressAI av1": "AV1",
    "CompressAI vtm": "VVC, reference encoder VTM",
  },
}
# Classical codecs that are measured here, and published curves of the same codec.
_SAME_CODEC = (
  ("jpeg420", "jpeg420"),
  ("jpegli420", "jpeg420"),
  ("mozjpeg420", "jpeg420"),
  ("jpeg2000", "j2k-opj5"),
  ("webp", "webp"),
  ("hevc444", "bpg444"),
  ("hevc444", "CompressAI hm"),
  ("avif", "CompressAI av1"),
  ("av1", "CompressAI av1"),
  ("vvc", "CompressAI vtm"),  # VTM codes 4:4:4, ours 4:2:0.
)
_JOINT = "minnen-2018-neurips-opt-mse"
_DRAWN = ("joint", "joint+refine50")  # Labels of our models for MSE.
_PSNR, _SAVED = (26, 42), (-70, 40)  # Drawn ranges: dB, per cent.


def rates(rows: Sequence[measurements.Row], metric: str) -> dict[str, dict[str, float]]:
  """{yardstick: {model: Bjøntegaard rate of the model against it, per cent}}.

  Args:
    rows: measured models; the paper's published joint model is added.
    metric: one of `curves.METRICS`.

  Returns:
    Yardsticks without points of that metric are left out.
  """
  points, measured = published(metric), curves.measured(rows, metric)
  tests = {name: measured[name] for name in rate_tables.models(rows) if name in measured}
  tests[_JOINT] = points[_JOINT]
  return {
    yardstick: {name: curves.bd_rate(points[yardstick], own) for name, own in tests.items()}
    for group in GROUPS.values()
    for yardstick in group
    if yardstick in points
  }


def table(rows: Sequence[measurements.Row]) -> str:
  """Markdown: every yardstick, by group, and our classical codecs against published ones.

  Args:
    rows: results on all 24 Kodak images; otherwise the text is empty, see `left_out`.
  """
  if left_out(rows):
    return ""
  parts = [_of_metric(rows, metric) for metric in curves.METRICS]
  return "\n\n".join([*parts, _same_codec(rows)])


def _of_metric(rows, metric):
  found = rates(rows, metric)
  models = [*rate_tables.models(rows), _JOINT]
  lines = []
  for group, yardsticks in GROUPS.items():
    lines.append([f"**{group}**", *("" for _ in models)])
    lines += [
      [title, *(rate_tables.per_cent(found[name][model]) for model in models)]
      for name, title in yardsticks.items()
      if name in found
    ]
  title = curves.METRICS[metric].title
  return "\n\n".join(
    [
      f"## Bjøntegaard rates against published curves, {title}: a column's bits against a row's",
      markdown.table(["", *models], lines),
    ]
  )


def _same_codec(rows):
  """Compares our measurements of classical codecs with published ones: curves, and points."""
  lines = []
  points, measured = published("psnr"), curves.measured(rows, "psnr")
  for ours, theirs in _SAME_CODEC:
    if ours not in measured:
      continue
    cells = []
    for metric in curves.METRICS:
      own, other = curves.measured(rows, metric).get(ours), published(metric).get(theirs)
      both = own is not None and other is not None
      cells.append(rate_tables.per_cent(curves.bd_rate(other, own) if both else float("nan")))
    lines.append([ours, theirs, *cells, *_at_points(points[theirs], measured[ours])])
  title = "## Our measurements of classical codecs against published ones"
  head = ["measured here", "published", "PSNR", "MS-SSIM", "lowest point", "middle", "highest"]
  return "\n\n".join(
    [
      title,
      markdown.table(head, lines),
      "Bjøntegaard rates, and the bits of single points of ours, of those that the published curve "
      "reaches, at equal PSNR.",
    ]
  )


def _at_points(published_curve, own):
  """Bits of the lowest, middle and highest shared point of ours against a published curve."""
  found = [
    (quality, rate)
    for bpp, quality in zip(own.bpp, own.quality)
    for rate in [curves.relative_rate(published_curve, bpp, quality)]
    if math.isfinite(rate)
  ]
  if not found:
    return ["–"] * 3
  chosen = (found[0], found[len(found) // 2], found[-1])
  return [f"{rate_tables.per_cent(rate)} ({quality:.1f} dB)" for quality, rate in chosen]


def plot(rows: Sequence[measurements.Row]) -> Any:
  """A `matplotlib.figure.Figure` of the bits saved against the paper's joint model at equal PSNR.

  It has a panel for each group, with our models in each.

  Args:
    rows: results of `evaluate`.
  """
  from matplotlib import figure

  points, measured = published("psnr"), curves.measured(rows, "psnr")
  ours = [model for model in _DRAWN if model in measured]
  looks = appearances(_DRAWN)
  drawing = figure.Figure(figsize=(14, 8), dpi=100, layout="constrained")
  panels = drawing.subplots(1, len(GROUPS), sharex=True, sharey=True)
  for axes, (group, yardsticks) in zip(panels, GROUPS.items()):
    named = {title: points[name] for name, title in yardsticks.items()}
    colours = [colour for colour in COLOURS if colour != looks[_DRAWN[0]].colour]
    styles = {
      title: Appearance(title, colours[i % len(colours)], "--" if i < len(colours) else ":")
      for i, title in enumerate(named)
    }
    named.update({model: measured[model] for model in ours})
    plots.draw_savings(axes, named, {**styles, **looks}, points[_JOINT])
    axes.set(title=group, xlabel=curves.METRICS["psnr"].title, xlim=_PSNR, ylim=_SAVED)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1))
  panels[0].set(ylabel="bits saved against the paper's joint model, per cent")
  return drawing
