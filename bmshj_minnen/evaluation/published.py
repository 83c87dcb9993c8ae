"""Published curves, averages over the 24 Kodak images; `published_points` names their sources."""

import csv
import pathlib
from collections.abc import Sequence

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import curves, measurements
from bmshj_minnen.evaluation.line_styles import PUBLISHED

__all__ = ["DATA_SETS", "left_out", "published", "shown"]

DATA_SETS = ("kodak",)
_POINTS = pathlib.Path(__file__).parent / "published_points" / "kodak.csv"
# Names of the metrics of `curves.METRICS` in the file of points; MS-SSIM is in 0..1 there.
_METRICS = {"psnr": "psnr_rgb_db", "ms_ssim": "ms_ssim_rgb"}
_IMAGES = {f"kodim{number:02}" for number in range(1, 25)}


def published(metric: str) -> dict[str, curves.Curve]:
  """The published Kodak curves of a metric of `curves.METRICS`, by their names in the file."""
  points: dict[str, list[tuple[float, float]]] = {}
  with open(_POINTS, newline="") as file:
    for row in csv.DictReader(file):
      if row["metric"] == _METRICS[metric]:
        value = float(row["value"])
        quality = metrics.ms_ssim_db(value) if metric == "ms_ssim" else value
        points.setdefault(row["codec"], []).append((float(row["bpp"]), quality))
  return {codec: curves.curve(own) for codec, own in points.items()}


def shown() -> dict[str, dict[str, curves.Curve]]:
  """{name: {metric: curve}} of the curves that plots and tables show beside measured ones.

  Names stand in `line_styles.PUBLISHED`. A model for MS-SSIM is compared by MS-SSIM alone.
  """
  found = {metric: published(metric) for metric in curves.METRICS}
  return {
    name: {
      metric: points[codec]
      for metric, points in found.items()
      if codec in points and (metric == "ms_ssim" or not codec.endswith("msssim"))
    }
    for name in PUBLISHED
    for codec in [name.partition(" ")[2]]
  }


def left_out(rows: Sequence[measurements.Row]) -> str:
  """The reason not to compare averages of these rows with published ones; empty: none."""
  images = {pathlib.Path(row.image).stem for row in rows}
  if images == _IMAGES:
    return ""
  return (
    f"Published curves are left out: they are averages over the 24 Kodak images, and these over "
    f"{len(images)} {'of them' if images < _IMAGES else 'photographs'}."
  )
