"""The fall of R + λD with training, and the number of steps that a further fall takes.

`python -m experiments.recipe.scaling` reads the log of `joint-mse` on one H200, fits a straight
line to the logarithm of R + λD over the logarithm of the steps, and draws both.
"""

import collections
import math
import pathlib

import numpy as np
from absl import app

import bmshj_minnen.pretrained
from bmshj_minnen.command_line import usage
from experiments import common

_LOG = pathlib.Path(bmshj_minnen.pretrained.__path__[0]) / "joint-mse" / "h200.csv"
_IMAGE = pathlib.Path(__file__).parent / "results" / "scaling.png"
# Steps that the line is fitted to: before them the optimizer has no averages yet, after them the
# learning rate falls.
_FIRST, _LAST = 10_000, 26_000


def mean_losses(path: pathlib.Path) -> dict[int, float]:
  """Reads {step: geometric mean over λ of R + λD} from a log."""
  losses = collections.defaultdict(list)
  for row in common.read_csv(path):
    losses[int(row["step"])].append(math.log(float(row["loss"])))
  return {step: math.exp(np.mean(logs)) for step, logs in losses.items()}


def fit(losses: dict[int, float], first: int, last: int) -> tuple[float, float]:
  """(a, b) in ln(R + λD) = a + b log2(step), least squares over the steps from first to last."""
  steps = [step for step in losses if first <= step <= last]
  b, a = np.polyfit(np.log2(steps), np.log([losses[step] for step in steps]), 1)
  return a, b


def plot(losses: dict[int, float], a: float, b: float):
  """A `matplotlib.figure.Figure` of the losses and the line."""
  from matplotlib import figure

  drawing = figure.Figure(figsize=(7, 4), dpi=100, layout="tight")
  axes = drawing.subplots()
  axes.plot(list(losses), list(losses.values()), "o-", markersize=3, label="measured")
  steps = np.geomspace(min(losses), 10 * max(losses), 50)
  axes.plot(steps, np.exp(a + b * np.log2(steps)), "--", label="line, constant learning rate")
  axes.set(xscale="log", xlabel="steps of 16 crops of 256x256", ylabel="R + λD, mean over λ")
  axes.grid(alpha=0.3, which="both")
  axes.legend()
  return drawing


def main(argv):
  """Prints the fit and draws it."""
  usage.refuse_arguments(argv)
  losses = mean_losses(_LOG)
  a, b = fit(losses, _FIRST, _LAST)
  last = max(losses)
  below = math.log(losses[last]) - (a + b * math.log2(last))
  print(f"a doubling of the steps changes R + λD by {100 * math.expm1(b):+.2f} %")
  print(f"the end of the run is {100 * math.expm1(below):+.2f} % from that line")
  for less in (0.02, 0.05, 0.08):
    factor = 2 ** (math.log(1 - less) / b)
    print(f"{100 * less:.0f} % less takes {factor:.1f} times the steps, if the line goes on")
  plot(losses, a, b).savefig(_IMAGE)


if __name__ == "__main__":
  app.run(main)
