"""Rate-distortion curves and Bjøntegaard rates between them."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import interpolate

from bmshj_minnen.evaluation import measurements
from bmshj_minnen.evaluation.classical import REMEDY

__all__ = [
  "METRICS",
  "Curve",
  "Metric",
  "bd_rate",
  "curve",
  "measured",
  "measured_by_image",
  "rate_at",
  "relative_rate",
]


@dataclasses.dataclass(frozen=True)
class Metric:
  """A measure of quality, always in decibels.

  Attributes:
    title: for people.
    column: of `measurements.Row`.
  """

  title: str
  column: str


METRICS = {
  "psnr": Metric("PSNR (dB)", "psnr_db"),
  "ms_ssim": Metric("MS-SSIM (dB)", "ms_ssim_db"),
}


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


def measured(rows: Sequence[measurements.Row], metric: str) -> dict[str, Curve]:
  """By codec, a curve through the averages over images at each setting that has them all."""
  points: dict[str, list[tuple[float, float]]] = {}
  incomplete = set(measurements.incomplete(rows))
  for entry in measurements.averages(rows):
    if (entry["codec"], entry["setting"]) in incomplete:
      continue
    point = (entry["bpp"], entry[METRICS[metric].column])
    points.setdefault(entry["codec"], []).append(point)
  return {codec: curve(own) for codec, own in points.items()}


def measured_by_image(rows: Sequence[measurements.Row], metric: str) -> dict[str, dict[str, Curve]]:
  """By image and codec, a curve through the settings."""
  images = sorted({row.image for row in rows})
  return {image: measured([row for row in rows if row.image == image], metric) for image in images}


def bd_rate(anchor: Curve, test: Curve) -> float:
  """The Bjøntegaard rate: how many per cent more bits `test` needs for equal quality.

  Bjøntegaard (VCEG-M33, 2001): the mean difference of log rates over the qualities that both curves
  reach, here between piecewise cubic Hermite (PCHIP) interpolants through all points.

  Returns:
    Negative where `test` needs fewer bits; nan if a curve is a single point or they do not overlap.

  Raises:
    ValueError: the package `bjontegaard` is not installed.
  """
  try:
    import bjontegaard
  except ImportError as error:
    raise ValueError(f"Bjøntegaard rates need bjontegaard: {REMEDY}") from error
  low = max(anchor.quality.min(initial=np.inf), test.quality.min(initial=np.inf))
  high = min(anchor.quality.max(initial=-np.inf), test.quality.max(initial=-np.inf))
  if low >= high:
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
