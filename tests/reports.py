"""A small report that tests read, and open in a browser."""

import json
import pathlib
import re
from typing import Any

import bmshj_minnen
from bmshj_minnen.evaluation import measurements, measuring, report, subjects
from tests import codecs, execution

SIZES = {"a <b>.png": (180, 208), "b.png": (190, 177)}  # MS-SSIM needs 161.


def config(folder: pathlib.Path) -> subjects.EvaluationConfig:
  """A model, two classical codecs, and the photographs of `SIZES`."""
  return subjects.EvaluationConfig(
    images=str(folder / "photos" / "*.png"),
    output=str(folder / "results"),
    models=[str(folder / "ours")],
    codecs=["jpeg420", "webp"],
    qualities=[10, 30, 60, 80, 90],
  )


def write(folder: pathlib.Path) -> pathlib.Path:
  """Writes the page of the results into `report`."""
  asked = config(folder)
  return report.write(
    measurements.read_rows(folder / "results" / measuring.TABLE),
    subjects.find_contenders(asked),
    subjects.find_photographs(asked.images, None),
    folder / "report",
  )


def make(folder: pathlib.Path) -> None:
  """Makes `photos`, the quick model `ours`, `results` and `report`."""
  (folder / "photos").mkdir()
  for name, size in SIZES.items():
    bmshj_minnen.write_image(str(folder / "photos" / name), codecs.photograph(*size))
  codecs.save_model("scale_hyperprior", folder / "ours")
  with execution.eagerly():
    measuring.evaluate(config(folder))
    write(folder)


def data(folder: pathlib.Path) -> dict[str, Any]:
  """The data that the page's script reads."""
  page = (folder / "report" / "index.html").read_text("utf-8")
  text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
  return json.loads(text[1])


def figures(page_data: dict[str, Any], row: list[Any]) -> dict[str, Any]:
  """A row of the data, by column names."""
  return dict(zip(page_data["figures"], row))
