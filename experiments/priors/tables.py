"""The tables of the study of priors, in Markdown."""

from collections.abc import Sequence

import numpy as np

from bmshj_minnen import config
from bmshj_minnen.evaluation import curves, markdown, measurements
from bmshj_minnen.evaluation.published import published
from bmshj_minnen.evaluation.rate_tables import image_rates, per_cent
from experiments.priors import lead
from experiments.priors.runs import STAGES, Run

__all__ = ["OTHERS", "all_tables", "published_savings", "savings"]

OTHERS = [prior for prior in config.PRIORS if prior != "joint"]
# Published curves of the joint prior and of others that were trained by the same people.
_PUBLISHED = {
  "the paper's points": (
    "minnen-2018-neurips-opt-mse",
    {
      "scale_hyperprior": "balle-2018-iclr-opt-mse",
      "mean_scale_hyperprior": "minnen-2018-neurips-no-context",
    },
  ),
  "CompressAI": (
    "CompressAI mbt2018_mse_cpu",
    {
      "factorized": "CompressAI bmshj2018-factorized_mse_cpu",
      "scale_hyperprior": "CompressAI bmshj2018-hyperprior_mse_cpu",
      "mean_scale_hyperprior": "CompressAI mbt2018-mean_mse_cpu",
    },
  ),
  "CompressAI, many rates": (
    "CompressAI mbt2018-vbr-ans",
    {
      "scale_hyperprior": "CompressAI bmshj2018-hyperprior-vbr-ans",
      "mean_scale_hyperprior": "CompressAI mbt2018-mean-vbr-ans",
    },
  ),
}


def all_tables(rows: Sequence[measurements.Row], points: Sequence[lead.Point]) -> str:
  """Bits that the joint prior takes beside each other one, the points, and its lead in training.

  Args:
    rows: of files, as `evaluate` measures them; a codec is the `label` of a run.
    points: of training, see `lead.read_points`.
  """
  parts = ["# Tables", _savings_table(rows), _by_image(rows), _averages(rows), _in_training(points)]
  return "\n\n".join(parts) + "\n"


def savings(rows: Sequence[measurements.Row]) -> dict[Run, float]:
  """{run of another prior: Bjøntegaard rate of the joint one, same stage and seed, per cent}.

  The curves are averages over images.
  """
  measured = {Run.of_label(name): own for name, own in curves.measured(rows, "psnr").items()}
  result = {}
  for run, own in measured.items():
    joint = measured.get(Run(run.stage, "joint", run.seed))
    if run.prior != "joint" and joint is not None:
      result[run] = curves.bd_rate(own, joint)
  return result


def published_savings() -> dict[str, dict[str, float]]:
  """{whose curves: {other prior: Bjøntegaard rate of the joint one against it, per cent}}."""
  points = published("psnr")
  return {
    name: {prior: curves.bd_rate(points[curve], points[joint]) for prior, curve in others.items()}
    for name, (joint, others) in _PUBLISHED.items()
  }


def _lines(found):
  """A line for each stage and seed, a column for each other prior."""
  runs = sorted({(list(STAGES).index(run.stage), run.stage, run.seed) for run in found})
  return [
    [
      f"{STAGES[stage]}, seed {seed}",
      *(per_cent(found.get(Run(stage, prior, seed), np.nan)) for prior in OTHERS),
    ]
    for _, stage, seed in runs
  ]


def _savings_table(rows):
  lines = _lines(savings(rows))
  for name, rates in published_savings().items():
    lines.append([name, *(per_cent(rates.get(prior, np.nan)) for prior in OTHERS)])
  lines.append(["the paper's abstract", "–", per_cent(-15.8), "–", "–"])
  title = "## The joint prior's bits at equal PSNR, files over Kodak, against"
  return f"{title}\n\n" + markdown.table(["", *OTHERS], lines)


def _by_image(rows):
  images = curves.measured_by_image(rows, "psnr")
  lines = []
  for run in savings(rows):
    rates = image_rates(images, run.label, Run(run.stage, "joint", run.seed).label)
    figures = [f(rates) if rates else np.nan for f in (np.mean, min, max)]
    lines.append([run.label, *map(per_cent, figures), str(sum(r < 0 for r in rates))])
  head = ["joint against", "mean of images", "lowest", "highest", "images with fewer bits"]
  return "## Image by image\n\n" + markdown.table(head, lines)


def _averages(rows):
  lines = []
  for entry in measurements.averages(rows):
    run, quality = Run.of_label(entry["codec"]), entry["setting"].rpartition("q")[2]
    figures = (f"{entry['bpp']:.4f}", f"{entry['psnr_db']:.3f}", f"{entry['ms_ssim']:.4f}")
    key = (list(STAGES).index(run.stage), run.seed, list(config.PRIORS).index(run.prior))
    lines.append((key, entry["bpp"], [run.label, quality, *figures]))
  lines = [line for *_, line in sorted(lines)]
  head = ["prior, stage, seed", "quality", "bpp", "PSNR, dB", "MS-SSIM"]
  return "## Averages over images\n\n" + markdown.table(head, lines)


def _in_training(points):
  found = lead.leads(points)
  runs = sorted({(run.stage, run.seed, step) for run, step in found})
  lines = [
    [
      f"{STAGES[stage]}, seed {seed}, step {step}",
      *(per_cent(found.get((Run(stage, prior, seed), step), np.nan)) for prior in OTHERS),
    ]
    for stage, seed, step in runs
  ]
  title = "## The joint prior's bits at equal PSNR of validation crops, in training, against"
  least = f"–: less than {curves.MIN_OVERLAP:g} dB of PSNR that both curves reach, or not trained."
  return "\n\n".join([title, markdown.table(["", *OTHERS], lines), least])
