"""Tables of an evaluation, in Markdown and LaTeX."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Optional

import numpy as np

from bmshj_minnen.evaluation import cautions, classical, curves, markdown, measurements

__all__ = [
  "averages",
  "bjontegaard",
  "by_image",
  "image_rates",
  "latex",
  "latex_summary",
  "models",
  "named_curves",
  "per_cent",
  "summary",
]


def models(rows: Sequence[measurements.Row]) -> list[str]:
  """Codecs of a table that are not classical codecs."""
  return list(dict.fromkeys(row.codec for row in rows if row.codec not in classical.FORMATS))


_Others = Optional[Mapping[str, Mapping[str, curves.Curve]]]


def named_curves(
  rows: Sequence[measurements.Row], others: _Others, metric: str
) -> dict[str, curves.Curve]:
  """Curves of averages by name: measured codecs, then others that have the metric."""
  foreign = {name: own[metric] for name, own in (others or {}).items() if metric in own}
  return {**curves.measured(rows, metric), **foreign}


def summary(rows: Sequence[measurements.Row], others: _Others = None) -> str:
  """Rates of all codecs against each other, of averages and per image, and averages, in Markdown.

  Args:
    rows: measured rows.
    others: {codec: {metric: curve}} of codecs that were not measured here.

  Raises:
    ValueError: the package `bjontegaard` is not installed.
  """
  parts = ["# Evaluation", *cautions.of_averages(rows)]
  for metric in curves.METRICS:
    named = named_curves(rows, others, metric)
    several = [codec for codec, own in named.items() if len(own.bpp) > 1]
    if len(several) > 1:
      parts.append(bjontegaard(named, several, several, metric))
      parts.append(by_image(rows, metric, several[0]))
    else:
      parts.append(cautions.too_few_curves(metric))
  return "\n\n".join([*parts, averages(rows)]) + "\n"


def latex_summary(rows: Sequence[measurements.Row], others: _Others = None) -> str:
  """Bjøntegaard rates and averages as `tabular` environments of LaTeX.

  Args:
    rows: measured rows.
    others: {codec: {metric: curve}} of codecs that were not measured here.

  Raises:
    ValueError: the package `bjontegaard` is not installed.
  """
  parts = []
  for metric in curves.METRICS:
    named = named_curves(rows, others, metric)
    several = [codec for codec, own in named.items() if len(own.bpp) > 1]
    if len(several) > 1:
      caution = cautions.of_rates(named, itertools.product(several, several))
      parts += [f"% {_rates_title(metric)}", *([f"% {caution}"] if caution else [])]
      parts.append(latex(["", *several], _rates(named, several, several)))
  parts += ["% Averages over images", latex(*_average_table(rows))]
  return "\n".join(parts) + "\n"


def bjontegaard(
  named: Mapping[str, curves.Curve], tests: Sequence[str], anchors: Sequence[str], metric: str
) -> str:
  """Bjøntegaard rates of each of `tests` against each of `anchors`, in Markdown.

  Args:
    named: curves by name.
    tests: names of curves, the rows of the table.
    anchors: names of curves, the columns of the table.
    metric: a name in `curves.METRICS`.
  """
  caution = cautions.of_rates(named, itertools.product(tests, anchors))
  parts = [
    f"## {_rates_title(metric)}",
    markdown.table(["", *anchors], _rates(named, tests, anchors)),
    caution,
  ]
  return "\n\n".join(filter(None, parts))


def _rates_title(metric):
  return f"Bjøntegaard rates, {curves.METRICS[metric].title}: a row's bits against a column's"


def _rates(named, tests, anchors):
  return [
    [test, *(per_cent(curves.bd_rate(named[anchor], named[test])) for anchor in anchors)]
    for test in tests
  ]


def image_rates(
  images: Mapping[str, Mapping[str, curves.Curve]], anchor: str, test: str
) -> list[float]:
  """Bjøntegaard rates on the images that have both curves and enough overlap of their qualities."""
  rates = [
    curves.bd_rate(own[anchor], own[test])
    for own in images.values()
    if anchor in own and test in own
  ]
  return [rate for rate in rates if np.isfinite(rate)]


def by_image(rows: Sequence[measurements.Row], metric: str, anchor: str) -> str:
  """Rates of all codecs against `anchor` on single images, in Markdown: mean and range."""
  means = curves.measured(rows, metric)
  images = curves.measured_by_image(rows, metric)
  lines = []
  for codec in means:
    if codec != anchor and anchor in means:
      rates = image_rates(images, anchor, codec)
      figures = [f(rates) if rates else np.nan for f in (np.mean, min, max)]
      each = (curves.bd_rate(means[anchor], means[codec]), *figures)
      lines.append([codec, *map(per_cent, each), str(len(rates))])
  title = f"## Bjøntegaard rates image by image, {curves.METRICS[metric].title}"
  if not lines:
    return (
      f"{title}\n\nNone: no two codecs, {anchor} one of them, were measured on all photographs."
    )
  head = [f"against {anchor}", "of averages", "mean of images", "lowest", "highest", "images"]
  parts = [title, markdown.table(head, lines)]
  if any(int(line[-1]) < len(images) for line in lines):
    parts.append(
      f"`images` counts those of {len(images)} on which both curves reach "
      f"{curves.MIN_OVERLAP:g} dB of the same quality; the others have no rate."
    )
  return "\n\n".join(parts)


def averages(rows: Sequence[measurements.Row]) -> str:
  """The averages of each codec and setting, in Markdown."""
  parts = ["## Averages over images", markdown.table(*_average_table(rows))]
  if any(
    entry[f"{metric}_images"] < entry["images"]
    for entry in measurements.averages(rows)
    for metric in curves.METRICS
  ):
    parts.append("Bytes and bpp are of all images, also those that PSNR or MS-SSIM leave out.")
  return "\n\n".join(parts)


_AVERAGES = ("codec", "setting", "images", "bytes", "bpp", "PSNR", "MS-SSIM", "MS-SSIM in dB")


def _average_table(rows):
  """The head, and a line for each codec and setting."""
  perceptual = measurements.perceptual_columns(rows)
  lines = [
    [
      *(entry["codec"], entry["setting"], str(entry["images"]), f"{entry['bytes']:.0f}"),
      *(f"{entry['bpp']:.4f}", f"{entry['psnr_db']:.3f}", f"{entry['ms_ssim']:.5f}"),
      f"{entry['ms_ssim_db']:.3f}",
      *(f"{entry[name]:.4f}" if np.isfinite(entry[name]) else "–" for name in perceptual),
    ]
    for entry in measurements.averages(rows)
  ]
  return [*_AVERAGES, *perceptual], lines


def per_cent(value: float) -> str:
  """A value as text, such as `+3.1 %`; a dash if it is not finite."""
  return f"{value:+.1f} %" if np.isfinite(value) else "–"


def latex(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
  """A `tabular` environment with the rules of the package `booktabs`; the first column is text."""
  rows = [" & ".join(map(_latex_cell, line)) + r" \\" for line in [head, *lines]]
  columns = "l" + "r" * (len(head) - 1)
  body = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
  return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"])


_LATEX = str.maketrans(
  {character: "\\" + character for character in "&%$#_{}"}
  | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
)


def _latex_cell(text):
  return " ".join(text.splitlines()).translate(_LATEX)
