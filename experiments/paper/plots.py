"""The plots of the study."""

import pathlib
from collections.abc import Sequence

from bmshj_minnen.evaluation import curves, measurements, plots
from bmshj_minnen.evaluation.line_styles import PUBLISHED, appearances
from bmshj_minnen.evaluation.published import left_out, shown
from experiments.paper import yardsticks

__all__ = ["plot_all"]

_IMAGES_A_PAGE = 24


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
  looks = appearances([*PUBLISHED, *dict.fromkeys(row.codec for row in rows)])
  if not left_out(rows):
    yardsticks.plot(rows).savefig(folder / "yardsticks.png")
  for metric in curves.METRICS:
    others = {} if left_out(rows) else shown()
    named = {name: own[metric] for name, own in others.items() if metric in own}
    named.update(curves.measured(rows, metric))
    plots.averages(named, looks, metric).savefig(folder / f"{metric}.png")
    plots.savings(named, looks, metric, anchor).savefig(folder / f"{metric}_savings.png")
    images = curves.measured_by_image(rows, metric)
    for page, start in enumerate(range(0, len(images), _IMAGES_A_PAGE), 1):
      names = list(images)[start : start + _IMAGES_A_PAGE]
      figure = plots.images({name: images[name] for name in names}, looks, metric)
      figure.savefig(folder / f"{metric}_images_{page}.png")
