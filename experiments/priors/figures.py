"""The figure of the study of priors."""

from collections.abc import Sequence
from typing import Any

from bmshj_minnen import config
from bmshj_minnen.evaluation import curves, measurements, plots
from bmshj_minnen.evaluation.line_styles import COLOURS, Appearance
from experiments.priors.runs import STAGES, Run

__all__ = ["bits"]

_SAVED = (-60, 5)  # Range that is drawn, per cent; the factorized prior reaches far below.


def bits(rows: Sequence[measurements.Row]) -> Any:
  """A `matplotlib.figure.Figure`: bits that each prior saves against the joint one at equal PSNR.

  It has a panel for each stage; seeds other than the first are dashed.

  Args:
    rows: of files; a codec is the `label` of a run.
  """
  from matplotlib import figure

  measured = {Run.of_label(name): own for name, own in curves.measured(rows, "psnr").items()}
  stages = [stage for stage in STAGES if any(run.stage == stage for run in measured)]
  drawing = figure.Figure(figsize=(5.5 * len(stages) + 1, 4.5), dpi=100, layout="constrained")
  for axes, stage in zip(drawing.subplots(1, len(stages), squeeze=False)[0], stages):
    seeds = sorted({run.seed for run in measured if run.stage == stage})
    for seed, dash in zip(seeds, ("-", "--", ":")):
      own = {prior: measured.get(Run(stage, prior, seed)) for prior in config.PRIORS}
      own = {prior: curve for prior, curve in own.items() if curve is not None}
      looks = {
        prior: Appearance(prior if seed == seeds[0] else f"_{prior}", colour, dash)
        for prior, colour in zip(config.PRIORS, COLOURS)
      }
      if "joint" in own:
        plots.draw_savings(axes, own, looks, own["joint"])
    axes.set(title=STAGES[stage].capitalize(), xlabel=curves.METRICS["psnr"].title, ylim=_SAVED)
    axes.legend(fontsize=8)
  drawing.axes[0].set(ylabel="bits saved against the joint prior, per cent")
  return drawing
