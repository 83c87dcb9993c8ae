"""The tables of the study of priors, in Markdown."""

from collections.abc import Sequence

from bmshj_minnen import config
from bmshj_minnen.evaluation import curves, measurements
from bmshj_minnen.evaluation.tables import per_cent
from experiments.priors import lead

__all__ = ["all_tables", "savings"]


def all_tables(rows: Sequence[measurements.Row], points: Sequence[lead.Point]) -> str:
  """What files took, what the joint prior saves, and how its lead grew in training.

  Args:
    rows: of files, as `evaluate` measures them; a codec's name is that of its prior.
    points: of training, see `lead.read_points`.
  """
  lines = ["| prior | quality | bpp | PSNR, dB | MS-SSIM |", "|---|---:|---:|---:|---:|"]
  order = list(config.PRIORS)
  for entry in sorted(
    measurements.averages(rows), key=lambda e: (order.index(e["codec"]), e["bpp"])
  ):
    quality = entry["setting"].rpartition("q")[2]
    lines.append(
      "| {codec} | {0} | {bpp:.4f} | {psnr_db:.3f} | {ms_ssim:.4f} |".format(quality, **entry)
    )
  lines += ["", "| joint against | bits at equal PSNR, files |", "|---|---:|"]
  lines += [f"| {prior} | {per_cent(value)} |" for prior, value in savings(rows).items()]
  others = [prior for prior in config.PRIORS if prior != "joint"]
  leads = lead.leads(points)
  lines += [
    "",
    "Bits of the joint prior at equal PSNR of validation crops, per cent, in training:",
    "",
  ]
  lines += [
    "| seed | step | " + " | ".join(others) + " |",
    "|---:|---:" + "|---:" * len(others) + "|",
  ]
  for seed, step in sorted({key[:2] for key in leads}):
    cells = (leads.get((seed, step, prior)) for prior in others)
    cells = ["–" if value is None else f"{value:+.1f}" for value in cells]
    lines.append(f"| {seed} | {step} | " + " | ".join(cells) + " |")
  least = f"{curves.MIN_OVERLAP:g} dB of PSNR that both curves reach"
  lines += ["", f"–, or no line: less than {least}, or not trained."]
  return "\n".join(lines) + "\n"


def savings(rows: Sequence[measurements.Row]) -> dict[str, float]:
  """Bjøntegaard rate of the joint prior against each other one, over average curves, per cent."""
  measured = curves.measured(rows, "psnr")
  return {
    prior: curves.bd_rate(measured[prior], measured["joint"])
    for prior in config.PRIORS
    if prior != "joint" and prior in measured and "joint" in measured
  }
