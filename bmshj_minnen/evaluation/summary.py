"""Writes tables and plots beside the measurements of an evaluation."""

import importlib.util
import pathlib
from collections.abc import Sequence
from typing import Optional

from absl import logging

from bmshj_minnen.evaluation import curves, exchange, measurements, plots, rate_tables
from bmshj_minnen.evaluation.classical import REMEDY
from bmshj_minnen.evaluation.line_styles import appearances
from bmshj_minnen.file_tools import outputs

__all__ = ["FILES", "PLOT_FORMATS", "TABLE_FORMATS", "write"]

_PACKAGES = ("bjontegaard", "matplotlib")
_NAME = "summary"
PLOT_FORMATS = ("png", "pdf", "svg")
_TABLES = {"md": rate_tables.summary, "tex": rate_tables.latex_summary}
TABLE_FORMATS = tuple(_TABLES)
FILES = (
  *(f"{_NAME}.{form}" for form in TABLE_FORMATS),
  *(f"{_NAME}_{metric}.{form}" for metric in curves.METRICS for form in PLOT_FORMATS),
)


def write(
  rows: Sequence[measurements.Row],
  folder: pathlib.Path,
  others: Optional[exchange.Curves] = None,
  plot_formats: Sequence[str] = PLOT_FORMATS[:1],
  table_formats: Sequence[str] = TABLE_FORMATS[:1],
) -> None:
  """Writes the tables `summary.md` and plots of averages such as `summary_psnr.png`.

  Without the packages of the extra `evaluation`, it writes nothing, and logs how to install them.

  Args:
    rows: measured rows.
    folder: folder for the files.
    others: curves that were not measured here, see `exchange.read`.
    plot_formats: some of `PLOT_FORMATS`.
    table_formats: some of `TABLE_FORMATS`.

  Raises:
    ValueError: one of `others` has the name of a measured codec.
  """
  if not all(map(importlib.util.find_spec, _PACKAGES)):
    logging.warning("no summary.md and plots without %s: %s", " and ".join(_PACKAGES), REMEDY)
    return
  same = {row.codec for row in rows} & set(others or ())
  if same:
    raise ValueError(f"{', '.join(same)} was measured, too: give the other curve another name")
  for form in table_formats:
    text = _TABLES[form](rows, others)
    outputs.write_atomically(str(folder / f"{_NAME}.{form}"), text.encode())
  looks = appearances([*dict.fromkeys(row.codec for row in rows), *(others or ())])
  for metric in curves.METRICS:
    figure = plots.averages(rate_tables.named_curves(rows, others, metric), looks, metric)
    for form in plot_formats:
      figure.savefig(folder / f"{_NAME}_{metric}.{form}")
