"""Rate-distortion curves and Bjøntegaard rates between them."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy import interpolate

from bmshj_minnen.evaluation import measurements
from bmshj_minnen.evaluation.classical import REMEDY

__all__ = [
  "METRICS",
  "MIN_OVERLAP",
  "Curve",
  "Metric",
  "averages",
  "bd_rate",
  "curve",
  "measured",
  "measured_by_image",
  "overlap",
  "rate_at",
  "relative_rate",
]


@dataclasses.dataclass(frozen=True)
class Metric:
  """A measure of quality, always in decibels.

  Attributes:
    title: for people.
    column: of `measurements.Row`.
    averaged: the column that is averaged, one of `measurements.AVERAGED`.
  """

  title: str
  column: str
  averaged: str


METRICS = {
  "psnr": Metric("PSNR (dB)", "psnr_db", "psnr_db"),
  "ms_ssim": Metric("MS-SSIM (dB)", "ms_ssim_db", "ms_ssim"),
}
# A Bjøntegaard rate over less, dB, would follow from the ends of two curves.
MIN_OVERLAP = 0.5


@dataclasses.dataclass(frozen=True)
class Curve:
  """Points of one codec, each better and larger than the one before.

  Attributes:
    bpp: [n] bits per pixel.
    quality: [n] dB.
  """

  bpp: np.ndarray
  quality: np.ndarray


def curve(points: Iterable[tuple[float, float]]) -> Curve:
  """Points (bpp, dB) in any order -> a curve.

  Left out are points that are no better than a smaller one, which nobody would choose, and those
  of infinite or undefined quality.
  """
  kept: list[tuple[float, float]] = []
  for bpp, quality in sorted(points, key=lambda point: (point[0], -point[1])):
    if np.isfinite(quality) and (not kept or quality > kept[-1][1]):
      kept.append((bpp, quality))
  return Curve(*np.array(kept, np.float64).reshape(-1, 2).T)


def averages(rows: Sequence[measurements.Row], metric: str) -> list[dict[str, Any]]:
  """`measurements.averages` of what is compared by a metric.

  Left out are photographs without a figure, whose bits would count otherwise, and settings that
  were not measured on all photographs.
  """
  left_out = measurements.without_figure(rows, METRICS[metric].averaged)
  incomplete = measurements.incomplete(rows)
  return measurements.averages(
    [
      row
      for row in rows
      if row.image not in left_out and (row.codec, row.setting) not in incomplete
    ]
  )


def measured(rows: Sequence[measurements.Row], metric: str) -> dict[str, Curve]:
  """By codec that was measured on all photographs, a curve through its `averages`."""
  incomplete = measurements.incomplete(rows)
  points = {row.codec: [] for row in rows if (row.codec, row.setting) not in incomplete}
  for entry in averages(rows, metric):
    points[entry["codec"]].append((entry["bpp"], entry[METRICS[metric].column]))
  return {codec: curve(own) for codec, own in points.items()}


def measured_by_image(rows: Sequence[measurements.Row], metric: str) -> dict[str, dict[str, Curve]]:
  """By image and codec, a curve through the settings."""
  points: dict[str, dict[str, list[tuple[float, float]]]] = {}
  for row in sorted(rows, key=lambda row: row.image):
    own = points.setdefault(row.image, {}).setdefault(row.codec, [])
    own.append((row.bpp, getattr(row, METRICS[metric].column)))
  return {
    image: {codec: curve(own) for codec, own in codecs.items()} for image, codecs in points.items()
  }


def overlap(anchor: Curve, test: Curve) -> float:
  """The range of qualities that both curves reach, dB; 0 if there is none."""
  low = max(own.quality.min(initial=np.inf) for own in (anchor, test))
  high = min(own.quality.max(initial=-np.inf) for own in (anchor, test))
  return max(0.0, float(high - low))


def bd_rate(anchor: Curve, test: Curve) -> float:
  """The Bjøntegaard rate: how many per cent more bits `test` needs for equal quality.

  Bjøntegaard (VCEG-M33, 2001): the mean difference of log rates over the qualities that both curves
  reach, here between piecewise cubic Hermite (PCHIP) interpolants through all points.

  Returns:
    Negative where `test` needs fewer bits; nan if the curves overlap by less than `MIN_OVERLAP`.

  Raises:
    ValueError: the package `bjontegaard` is not installed.
  """
  try:
    import bjontegaard
  except ImportError as error:
    raise ValueError(f"Bjøntegaard rates need bjontegaard: {REMEDY}") from error
  if overlap(anchor, test) < MIN_OVERLAP:
    return float("nan")
  return float(
    bjontegaard.bd_rate(
      *(anchor.bpp, anchor.quality, test.bpp, test.quality),
      method="pchip",
      require_matching_points=False,
      min_overlap=0,
    )
  )


def rate_at(anchor: Curve, quality: np.ndarray) -> np.ndarray:
  """Bits per pixel of a curve at qualities, interpolated as for `bd_rate`; nan beyond its ends."""
  quality = np.asarray(quality, np.float64)
  if len(anchor.bpp) < 2:
    return np.full(quality.shape, np.nan)
  log_rate = interpolate.PchipInterpolator(anchor.quality, np.log(anchor.bpp), extrapolate=False)
  return np.exp(log_rate(quality))


def relative_rate(anchor: Curve, bpp: np.ndarray, quality: np.ndarray) -> np.ndarray:
  """How many per cent more bits points need than `anchor` does at their quality."""
  return 100 * (bpp / rate_at(anchor, quality) - 1)
