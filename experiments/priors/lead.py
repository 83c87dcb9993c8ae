"""How far the joint prior is ahead of each other one as training goes on."""

import collections
import csv
import dataclasses
import io
import math
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from bmshj_minnen import config
from bmshj_minnen.evaluation import curves
from bmshj_minnen.evaluation.appearance import COLOURS

__all__ = ["Point", "leads", "plot", "read_points", "to_csv", "training_points"]

_COLUMN = re.compile(r"val_bpp_(.+)")


@dataclasses.dataclass(frozen=True)
class Point:
  """A validation in training at one λ.

  Attributes:
    prior, seed: of the model.
    step: of its training.
    lmbda: λ.
    bpp: estimated bits per pixel.
    mse: of 8-bit values.
  """

  prior: str
  seed: int
  step: int
  lmbda: float
  bpp: float
  mse: float


def training_points(metrics: pathlib.Path, prior: str, seed: int) -> list[Point]:
  """The points of a `metrics.csv` that training wrote."""
  points = []
  for row in csv.DictReader(metrics.read_text().splitlines()):
    for name in filter(None, map(_COLUMN.fullmatch, row)):
      figures = float(row[name[0]]), float(row[f"val_distortion_{name[1]}"])
      points.append(Point(prior, seed, int(row["step"]), float(name[1]), *figures))
  return points


def to_csv(points: Iterable[Point]) -> str:
  """What `read_points` reads, five digits a figure."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator="\n")
  writer.writerow([field.name for field in dataclasses.fields(Point)])
  for p in points:
    writer.writerow([p.prior, p.seed, p.step, f"{p.lmbda:.5g}", f"{p.bpp:.5g}", f"{p.mse:.5g}"])
  return text.getvalue()


def read_points(path: pathlib.Path) -> list[Point]:
  """The points of a file, none without it."""
  rows = csv.DictReader(path.read_text().splitlines()) if path.exists() else ()
  return [
    Point(
      r["prior"], int(r["seed"]), int(r["step"]), *(float(r[n]) for n in ("lmbda", "bpp", "mse"))
    )
    for r in rows
  ]


def leads(points: Sequence[Point]) -> dict[tuple[int, int, str], float]:
  """{(seed, step, other prior): Bjøntegaard rate of the joint prior against it, per cent}.

  The curves are those of the validation at one step, a point a λ, with PSNR of the mean MSE. Steps
  at which the two hardly overlap are left out, see `curves.bd_rate`.
  """
  found = collections.defaultdict(list)
  for p in points:
    psnr = 10 * math.log10(255**2 / p.mse)
    found[p.seed, p.step, p.prior].append((p.bpp, psnr))
  results = {}
  for (seed, step, prior), own in found.items():
    joint = found.get((seed, step, "joint"))
    if prior != "joint" and joint:
      rate = curves.bd_rate(curves.curve(own), curves.curve(joint))
      if not math.isnan(rate):
        results[seed, step, prior] = rate
  return results


def plot(points: Sequence[Point]) -> Any:
  """A `matplotlib.figure.Figure`: bits that the joint prior saves, over steps; a line a seed."""
  from matplotlib import figure

  drawing = figure.Figure(figsize=(7, 4.5), dpi=100, layout="tight")
  axes = drawing.subplots()
  found = leads(points)
  others = [prior for prior in config.PRIORS if prior != "joint"]
  for prior, colour in zip(others, COLOURS):
    for seed, style in zip(sorted({key[0] for key in found}), ("-", "--", ":")):
      own = sorted((step, -rate) for (s, step, p), rate in found.items() if (s, p) == (seed, prior))
      if own:
        axes.plot(*zip(*own), style, color=colour, label=f"{prior}, seed {seed}")
  axes.axhline(0, color="gray", linewidth=0.8)
  axes.set(xlabel="steps", ylabel="per cent", title="Bits that the joint prior saves at equal PSNR")
  axes.grid(alpha=0.3)
  axes.legend(fontsize=8)
  return drawing
