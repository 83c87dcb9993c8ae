"""What an evaluation says at a glance: tables and plots beside its measurements."""

import importlib.util
import pathlib
from collections.abc import Sequence

from absl import logging

from bmshj_minnen.evaluation import curves, measurements, plots, tables
from bmshj_minnen.evaluation.appearance import appearances
from bmshj_minnen.evaluation.classical import REMEDY
from bmshj_minnen.photographs import outputs

__all__ = ["FILES", "write"]

_PACKAGES = ("bjontegaard", "matplotlib")
_PLOTS = {metric: f"summary_{metric}.png" for metric in curves.METRICS}
FILES = ("summary.md", *_PLOTS.values())


def write(rows: Sequence[measurements.Row], folder: pathlib.Path) -> None:
  """Writes `summary.md`, and `summary_psnr.png` and `summary_ms_ssim.png` of averages.

  Without the packages of the extra `evaluation` it writes nothing, and logs how to get them.
  """
  if not all(map(importlib.util.find_spec, _PACKAGES)):
    logging.warning("no summary.md and plots without %s: %s", " and ".join(_PACKAGES), REMEDY)
    return
  outputs.write_atomically(str(folder / FILES[0]), tables.summary(rows).encode())
  looks = appearances(list(dict.fromkeys(row.codec for row in rows)))
  for metric, name in _PLOTS.items():
    figure = plots.averages(curves.measured(rows, metric), looks, metric)
    figure.savefig(folder / name)
