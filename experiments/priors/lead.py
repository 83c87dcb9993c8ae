"""How far the joint prior is ahead of each other one as training goes on."""

import collections
import math
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bmshj_minnen.evaluation import curves
from experiments import common
from experiments.priors.runs import Run

__all__ = ["Point", "leads", "read_points", "to_csv", "training_points"]

_COLUMN = re.compile(r"val_bpp_(.+)")
_HEAD = ("stage", "prior", "seed", "step", "lmbda", "bpp", "mse")


class Point(NamedTuple):
  """A validation in training at one λ.

  Attributes:
    run: of the model.
    step: of its training.
    lmbda: λ.
    bpp: estimated bits per pixel.
    mse: mean squared error of 8-bit values.
  """

  run: Run
  step: int
  lmbda: float
  bpp: float
  mse: float


def training_points(metrics: pathlib.Path, run: Run) -> list[Point]:
  """The points of a `metrics.csv` that training wrote."""
  points = []
  for row in common.read_csv(metrics):
    for name in filter(None, map(_COLUMN.fullmatch, row)):
      figures = float(row[name[0]]), float(row[f"val_distortion_{name[1]}"])
      points.append(Point(run, int(row["step"]), float(name[1]), *figures))
  return points


def to_csv(points: Iterable[Point]) -> str:
  """The text that `read_points` reads, with five digits per figure."""
  rows = []
  for p in points:
    figures = (f"{value:.5g}" for value in (p.lmbda, p.bpp, p.mse))
    rows.append(dict(zip(_HEAD, [p.run.stage, p.run.prior, p.run.seed, p.step, *figures])))
  return common.csv_text(rows)


def read_points(path: pathlib.Path) -> list[Point]:
  """The points of a file; none if it is not there."""
  rows = common.read_csv(path) if path.exists() else ()
  return [
    Point(
      Run(r["stage"], r["prior"], int(r["seed"])),
      int(r["step"]),
      *(float(r[name]) for name in ("lmbda", "bpp", "mse")),
    )
    for r in rows
  ]


def leads(points: Sequence[Point]) -> dict[tuple[Run, int], float]:
  """{(run of another prior, step): Bjøntegaard rate of the joint prior against it, per cent}.

  The curves are those of the validation at one step, a point for each λ, with the PSNR of the mean
  MSE. Steps at which the two hardly overlap are left out, see `curves.bd_rate`.
  """
  found = collections.defaultdict(list)
  for p in points:
    found[p.run, p.step].append((p.bpp, 10 * math.log10(255**2 / p.mse)))
  results = {}
  for (run, step), own in found.items():
    joint = found.get((Run(run.stage, "joint", run.seed), step))
    if run.prior != "joint" and joint:
      rate = curves.bd_rate(curves.curve(own), curves.curve(joint))
      if not math.isnan(rate):
        results[run, step] = rate
  return results
