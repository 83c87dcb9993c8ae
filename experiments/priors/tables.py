"""The tables of the study of priors, in Markdown."""

from collections.abc import Sequence

import numpy as np

from bmshj_minnen import config
from bmshj_minnen.evaluation import curves, measurements

__all__ = ["all_tables", "savings"]


def all_tables(rows: Sequence[measurements.Row]) -> str:
  """Averages of each model, and what the joint prior saves against each other one."""
  averages = sorted(
    measurements.averages(rows),
    key=lambda entry: (_lambda(entry["setting"]), list(config.PRIORS).index(entry["codec"])),
  )
  lines = ["| prior | λ | bpp | PSNR, dB | MS-SSIM | R + λ·MSE |", "|---|---:|---:|---:|---:|---:|"]
  for entry in averages:
    lmbda = _lambda(entry["setting"])
    loss = np.mean([_loss(row, lmbda) for row in rows if _is_of(row, entry)])
    lines.append(
      "| {codec} | {0:g} | {bpp:.4f} | {psnr_db:.3f} | {ms_ssim:.4f} | {1:.4f} |".format(
        lmbda, loss, **entry
      )
    )
  lines += ["", "| joint against | bits at equal PSNR |", "|---|---:|"]
  lines += [f"| {prior} | {value:+.1f} % |" for prior, value in savings(rows).items()]
  return "\n".join(lines) + "\n"


def savings(rows: Sequence[measurements.Row]) -> dict[str, float]:
  """Bjøntegaard rate of the joint prior against each other one, over average curves, per cent."""
  measured = curves.measured(rows, "psnr")
  return {
    prior: curves.bd_rate(measured[prior], measured["joint"])
    for prior in config.PRIORS
    if prior != "joint" and prior in measured and "joint" in measured
  }


def _lambda(setting):
  return float(setting.rpartition("-")[2])


def _loss(row, lmbda):
  return row.bpp + lmbda * 255**2 / 10 ** (row.psnr_db / 10)


def _is_of(row, entry):
  return (row.codec, row.setting) == (entry["codec"], entry["setting"])
