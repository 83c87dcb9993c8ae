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
  "MIN_POINTS",
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
  """A measure of image quality, always in decibels.

  Attributes:
    title: title in plots and tables.
    column: column of `measurements.Row` with the decibels.
    averaged: the column that is averaged, one of `measurements.AVERAGED`.
  """

  title: str
  column: str
  averaged: str


METRICS = {
  "psnr": Metric("PSNR (dB)", "psnr_db", "psnr_db"),
  "ms_ssim": Metric("MS-SSIM (dB)", "ms_ssim_db", "ms_ssim"),
}
# In dB. With less overlap, only the ends of two curves would determine a Bjøntegaard rate.
MIN_OVERLAP = 0.5
# Two points give a straight line: of the published joint model against the scale hyperprior, the
# first and the last alone say -31 % where all say -16 %, and three of each -17 %.
MIN_POINTS = 3


@dataclasses.dataclass(frozen=True)
class Curve:
  """Points of one codec, both coordinates increasing; `curve` makes one of any points.

  Attributes:
    bpp: [n] float64, bits per pixel.
    quality: [n] float64, dB.

  Raises:
    ValueError: a rate is not above 0, a value is not finite, or the points do not increase.
  """

  bpp: np.ndarray
  quality: np.ndarray

  def __post_init__(self):
    _check_rates(self.bpp)
    for own in (self.bpp, self.quality):
      if not np.all(np.isfinite(own)) or not np.all(np.diff(own) > 0):
        raise ValueError("bits and quality of a curve increase from point to point: use `curve`")


def curve(points: Iterable[tuple[float, float]]) -> Curve:
  """Points (bpp, dB) in any order -> a curve.

  Leaves out points that are not better than a smaller one, because they are never useful, and
  points of infinite or undefined quality.

  Raises:
    ValueError: a rate is not above 0 and finite.
  """
  points = list(points)
  _check_rates([bpp for bpp, _ in points])
  kept: list[tuple[float, float]] = []
  for bpp, quality in sorted(points, key=lambda point: (point[0], -point[1])):
    if np.isfinite(quality) and (not kept or quality > kept[-1][1]):
      kept.append((bpp, quality))
  return Curve(*np.array(kept, np.float64).reshape(-1, 2).T)


def _check_rates(bpp):
  wrong = [value for value in bpp if not 0 < value < np.inf]
  if wrong:
    raise ValueError(f"rates must be above 0 bits per pixel and finite, not {wrong[0]:g}")


def averages(rows: Sequence[measurements.Row], metric: str) -> list[dict[str, Any]]:
  """`measurements.averages` of the rows that a metric compares.

  Leaves out photographs without a figure, whose bits would count otherwise, and settings that were
  not measured on all photographs.

  Args:
    rows: rows of all codecs.
    metric: a name in `METRICS`.
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
  """Codec -> curve through its `averages`, for codecs that were measured on all photographs."""
  incomplete = measurements.incomplete(rows)
  points = {row.codec: [] for row in rows if (row.codec, row.setting) not in incomplete}
  for entry in averages(rows, metric):
    points[entry["codec"]].append((entry["bpp"], entry[METRICS[metric].column]))
  return {codec: curve(own) for codec, own in points.items()}


def measured_by_image(rows: Sequence[measurements.Row], metric: str) -> dict[str, dict[str, Curve]]:
  """Image -> codec -> curve through the settings."""
  points: dict[str, dict[str, list[tuple[float, float]]]] = {}
  for row in sorted(rows, key=lambda row: row.image):
    own = points.setdefault(row.image, {}).setdefault(row.codec, [])
    own.append((row.bpp, getattr(row, METRICS[metric].column)))
  return {
    image: {codec: curve(own) for codec, own in codecs.items()} for image, codecs in points.items()
  }


def overlap(anchor: Curve, test: Curve) -> float:
  """Length of the range of qualities that both curves reach, in dB; 0 without overlap."""
  low = max(own.quality.min(initial=np.inf) for own in (anchor, test))
  high = min(own.quality.max(initial=-np.inf) for own in (anchor, test))
  return max(0.0, float(high - low))


def bd_rate(anchor: Curve, test: Curve) -> float:
  """The Bjøntegaard rate: additional bits that `test` needs for equal quality, in per cent.

  Bjøntegaard (VCEG-M33, 2001): the mean difference of log rates over the qualities that both curves
  reach, here between piecewise cubic Hermite (PCHIP) interpolants through all points.

  Returns:
    Per cent, negative if `test` needs fewer bits; NaN if the curves overlap by less than
    `MIN_OVERLAP`, or one has fewer points than `MIN_POINTS`.

  Raises:
    ValueError: the package `bjontegaard` is not installed.
  """
  try:
    import bjontegaard
  except ImportError as error:
    raise ValueError(f"Bjøntegaard rates need bjontegaard: {REMEDY}") from error
  if min(len(anchor.bpp), len(test.bpp)) < MIN_POINTS or overlap(anchor, test) < MIN_OVERLAP:
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
  """Bits per pixel of a curve at given qualities, with the interpolation of `bd_rate`.

  Args:
    anchor: the curve.
    quality: array of dB, of any shape.

  Returns:
    float64 of the shape of `quality`; NaN beyond the ends of the curve.
  """
  quality = np.asarray(quality, np.float64)
  if len(anchor.bpp) < 2:
    return np.full(quality.shape, np.nan)
  log_rate = interpolate.PchipInterpolator(anchor.quality, np.log(anchor.bpp), extrapolate=False)
  return np.exp(log_rate(quality))


def relative_rate(anchor: Curve, bpp: np.ndarray, quality: np.ndarray) -> np.ndarray:
  """Additional bits of points against `anchor` at equal quality, in per cent.

  Args:
    anchor: the curve.
    bpp: [n] bits per pixel of the points.
    quality: [n] dB.

  Returns:
    [n] float64; NaN beyond the ends of the curve.
  """
  return 100 * (bpp / rate_at(anchor, quality) - 1)
