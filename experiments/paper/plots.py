"""The plots of the study."""

import pathlib
from collections.abc import Sequence

from bmshj_minnen.evaluation import curves, measurements, plots
from bmshj_minnen.evaluation.appearance import Appearance, appearances
from experiments.paper import yardsticks
from experiments.paper.published import left_out, published

__all__ = ["plot_all"]

_IMAGES_A_PAGE = 24
_PUBLISHED = {
  "minnen-2018-neurips-opt-mse": Appearance("joint, published", "black", "--", ""),
  "minnen-2018-neurips-opt-msssim": Appearance("joint for MS-SSIM, published", "black", ":", ""),
  "balle-2018-iclr-opt-mse": Appearance("scale hyperprior, published", "dimgray", "--", ""),
  "bpg444": Appearance("BPG 4:4:4, published", "dimgray", "-.", ""),
  "jpeg420": Appearance("JPEG 4:2:0, published", "dimgray", ":", ""),
}


def plot_all(rows: Sequence[measurements.Row], anchor: str, folder: pathlib.Path) -> None:
  """Writes PNG files.

  `METRIC.png` has the curves of averages, `METRIC_savings.png` their savings against the measured
  codec `anchor`, and `METRIC_images_1.png`, ... the curves of single images. `yardsticks.png` has
  published curves by group.

  Args:
    rows: results of `evaluate`; published curves are drawn if they cover all Kodak images.
    anchor: a codec of the rows.
    folder: folder for the files.
  """
  looks = {f"published {codec}": look for codec, look in _PUBLISHED.items()}
  looks.update(appearances(list(dict.fromkeys(row.codec for row in rows))))
  if not left_out(rows):
    yardsticks.plot(rows).savefig(folder / "yardsticks.png")
  for metric in curves.METRICS:
    points = {} if left_out(rows) else published(metric)
    named = {
      f"published {codec}": points[codec]
      for codec in _PUBLISHED
      if codec in points and (metric == "ms_ssim" or not codec.endswith("msssim"))
    }
    named.update(curves.measured(rows, metric))
    plots.averages(named, looks, metric).savefig(folder / f"{metric}.png")
    plots.savings(named, looks, metric, anchor).savefig(folder / f"{metric}_savings.png")
    images = curves.measured_by_image(rows, metric)
    for page, start in enumerate(range(0, len(images), _IMAGES_A_PAGE), 1):
      names = list(images)[start : start + _IMAGES_A_PAGE]
      figure = plots.images({name: images[name] for name in names}, looks, metric)
      figure.savefig(folder / f"{metric}_images_{page}.png")
