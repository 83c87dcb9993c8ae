"""Tables of an evaluation, in Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np

from bmshj_minnen.evaluation import classical, curves, measurements

__all__ = [
  "averages",
  "bjontegaard",
  "by_image",
  "caution",
  "image_rates",
  "markdown",
  "models",
  "per_cent",
  "summary",
]


def models(rows: Sequence[measurements.Row]) -> list[str]:
  """Codecs of a table that are not classical ones."""
  return list(dict.fromkeys(row.codec for row in rows if row.codec not in classical.FORMATS))


def summary(rows: Sequence[measurements.Row]) -> str:
  """All codecs against each other, on average and image by image, and the averages.

  Raises:
    ValueError: the package `bjontegaard` is not installed.
  """
  parts = ["# Evaluation", caution(rows)]
  for metric in curves.METRICS:
    named = curves.measured(rows, metric)
    several = [codec for codec, own in named.items() if len(own.bpp) > 1]
    if len(several) > 1:
      parts.append(bjontegaard(named, several, several, metric))
      parts.append(by_image(rows, metric, several[0]))
  return "\n\n".join(part for part in [*parts, averages(rows)] if part) + "\n"


def caution(rows: Sequence[measurements.Row]) -> str:
  """What is left out of averages and curves of them, in a sentence; empty: nothing."""
  incomplete = [f"{codec} {setting}" for codec, setting in measurements.incomplete(rows)]
  if not incomplete:
    return ""
  count = len({row.image for row in rows})
  return (
    f"Left out of curves and rates of averages, since they were not measured on all {count} "
    f"photographs: {', '.join(incomplete)}."
  )


def bjontegaard(
  named: Mapping[str, curves.Curve], tests: Sequence[str], anchors: Sequence[str], metric: str
) -> str:
  """Bjøntegaard rates of each of `tests` against each of `anchors`, names of curves."""
  lines = [
    [test, *(per_cent(curves.bd_rate(named[anchor], named[test])) for anchor in anchors)]
    for test in tests
  ]
  title = f"## Bjøntegaard rates, {curves.METRICS[metric].title}: a row's bits against a column's"
  return f"{title}\n\n" + markdown(["", *anchors], lines)


def image_rates(
  images: Mapping[str, Mapping[str, curves.Curve]], anchor: str, test: str
) -> list[float]:
  """Bjøntegaard rates on the images that have both codecs and where their qualities overlap."""
  rates = [
    curves.bd_rate(own[anchor], own[test])
    for own in images.values()
    if anchor in own and test in own
  ]
  return [rate for rate in rates if np.isfinite(rate)]


def by_image(rows: Sequence[measurements.Row], metric: str, anchor: str) -> str:
  """Rates against one codec over single images: mean and range; empty: there are none."""
  means = curves.measured(rows, metric)
  images = curves.measured_by_image(rows, metric)
  lines = []
  for codec in means:
    rates = image_rates(images, anchor, codec)
    if codec != anchor and anchor in means and rates:
      each = (curves.bd_rate(means[anchor], means[codec]), np.mean(rates), min(rates), max(rates))
      lines.append([codec, *map(per_cent, each), str(len(rates))])
  if not lines:
    return ""
  head = [f"against {anchor}", "of averages", "mean of images", "lowest", "highest", "images"]
  title = f"## Bjøntegaard rates image by image, {curves.METRICS[metric].title}"
  return f"{title}\n\n" + markdown(head, lines)


def averages(rows: Sequence[measurements.Row]) -> str:
  """The averages of each codec and setting."""
  head = ["codec", "setting", "images", "bytes", "bpp", "PSNR", "MS-SSIM", "its dB"]
  lines = [
    [
      *(entry["codec"], entry["setting"], str(entry["images"]), f"{entry['bytes']:.0f}"),
      *(f"{entry['bpp']:.4f}", f"{entry['psnr_db']:.3f}", f"{entry['ms_ssim']:.5f}"),
      f"{entry['ms_ssim_db']:.3f}",
    ]
    for entry in measurements.averages(rows)
  ]
  return "## Averages over images\n\n" + markdown(head, lines)


def per_cent(value: float) -> str:
  """Such as `+3.1 %`; a dash if it is not finite."""
  return f"{value:+.1f} %" if np.isfinite(value) else "–"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
  """A table whose first column is text."""
  rule = ["---", *["---:"] * (len(head) - 1)]
  return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
