"""The trainings of the study: which there are, and the command of each."""

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from bmshj_minnen import config

__all__ = ["STAGES", "Run", "Settings", "all_runs"]

# Stage -> its title. In the first only the prior is trained, on the latents of one model; in the
# second all networks go on from there, so that each prior's transforms adapt to it.
STAGES = {"equal": "equal latents", "own": "own latents"}


@dataclasses.dataclass(frozen=True)
class Settings:
  """Settings that all runs share.

  Attributes:
    latents_of: the model whose transforms are taken.
    train_glob, validation_glob: patterns of photographs.
    models: folder of the model directories.
    steps: of each stage.
    learning_rates: of each stage, at the start of a cosine schedule.
    precision_policy: see `training.train_config`.
  """

  latents_of: str
  train_glob: str
  validation_glob: str
  models: str
  steps: dict[str, int]
  learning_rates: dict[str, float]
  precision_policy: str = "float32"


@dataclasses.dataclass(frozen=True)
class Run:
  """One model: a stage of `STAGES`, a prior of `config.PRIORS`, and a seed."""

  stage: str
  prior: str
  seed: int

  @property
  def label(self) -> str:
    """The name of its curve in the results."""
    return f"{self.prior} {self.stage} {self.seed}"

  @classmethod
  def of_label(cls, label: str) -> "Run":
    """The inverse of `label`."""
    prior, stage, seed = label.split()
    return cls(stage, prior, int(seed))

  def directory(self, settings: Settings) -> pathlib.Path:
    """The model directory."""
    return pathlib.Path(settings.models) / self.stage / f"seed{self.seed}" / self.prior

  def train(self, settings: Settings) -> None:
    """Trains in a process of its own, which gives back its memory and resumes by itself."""
    subprocess.run([sys.executable, "-m", "bmshj_minnen.train", *self._flags(settings)], check=True)

  def _flags(self, settings):
    flags = {
      "model_dir": self.directory(settings),
      "train_glob": settings.train_glob,
      "validation_glob": settings.validation_glob,
      "steps": settings.steps[self.stage],
      "save_every": max(1, settings.steps[self.stage] // 3),
      "learning_rate": settings.learning_rates[self.stage],
      "schedule": "cosine",
      "optimizer": "adam",
      "precision_policy": settings.precision_policy,
      "seed": self.seed,
      "batch": 8,
    }
    if self.stage == "own":
      flags["init_from"] = Run("equal", self.prior, self.seed).directory(settings)
    else:
      latents_dir = pathlib.Path(settings.models) / "latents"
      flags.update(prior=self.prior, latents_of=settings.latents_of, latents_dir=latents_dir)
    return [f"--{name}={value}" for name, value in flags.items()]


def all_runs(seeds: Sequence[int], settings: Settings) -> list[Run]:
  """Every prior and seed in each stage that has steps; the second stage has the first seed only."""
  return [
    Run(stage, prior, seed)
    for stage in STAGES
    if settings.steps[stage]
    for seed in (seeds if stage == "equal" else seeds[:1])
    for prior in config.PRIORS
  ]
