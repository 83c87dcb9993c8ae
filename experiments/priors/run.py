"""Trains the five priors alike and compares them through real files.

`python -m experiments.priors.run --train_glob='photos/**/*.png' --images='kodak/*.png'` trains what
is not trained yet, measures what is not measured yet, and prints the tables. Without `--images` it
prints the tables of the results that are there.
"""

import itertools
import pathlib
import subprocess
import sys

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import config
from bmshj_minnen.evaluation import measurements, measuring
from bmshj_minnen.photographs import outputs
from experiments.priors import tables

_HERE = pathlib.Path(__file__).parent

_TRAIN = flags.DEFINE_string("train_glob", "", "Photographs to train on.")
_VALIDATION = flags.DEFINE_string("validation_glob", "", "Photographs to validate on.")
_IMAGES = flags.DEFINE_string("images", "", "A pattern of photographs to measure on.")
_MODELS = flags.DEFINE_string("models", "models/priors", "Where the trained models go.")
_RESULTS = flags.DEFINE_string("results", str(_HERE / "results"), "Where the measurements go.")
_LAMBDAS = flags.DEFINE_list("lambdas", ["0.005", "0.02"], "λ of R + λD; each prior at each.")
_STEPS = flags.DEFINE_integer("steps", 2500, "Training steps of each model at the first λ.")
_FINE_TUNING = flags.DEFINE_integer(
  "fine_tuning_steps", 1000, "At another λ, from the model of the same prior at the first; 0: none."
)
_N = flags.DEFINE_integer("num_filters", 64, "N.")
_M = flags.DEFINE_integer("latent_channels", 96, "M.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "At the start of the cosine.")
_OPTIMIZER = flags.DEFINE_enum("optimizer", "adam", config.OPTIMIZERS, "Of the training.")
_PRECISION = flags.DEFINE_enum(
  "precision_policy", "float32", config.PRECISIONS, "Of the convolutions in training."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, crops and noise, the same for all.")


def _train(prior, lmbda):
  """In a process of its own, which gives back its memory and resumes by itself.

  Returns:
    The model directory.
  """
  directory = f"{_MODELS.value}/{prior}-{lmbda}"
  first = _LAMBDAS.value[0]
  is_tuned = _FINE_TUNING.value and lmbda != first
  flags_ = {
    "prior": prior,
    "lambda": lmbda,
    "model_dir": directory,
    "train_glob": _TRAIN.value,
    "validation_glob": _VALIDATION.value,
    "num_filters": _N.value,
    "latent_channels": _M.value,
    "init_from": f"{_MODELS.value}/{prior}-{first}" if is_tuned else "",
    "steps": _FINE_TUNING.value if is_tuned else _STEPS.value,
    "learning_rate": _LEARNING_RATE.value,
    "optimizer": _OPTIMIZER.value,
    "precision_policy": _PRECISION.value,
    "seed": _SEED.value,
    "schedule": "cosine",
    "crop": 128,
    "batch": 8,
  }
  command = [f"--{name}={value}" for name, value in flags_.items()]
  subprocess.run([sys.executable, "-m", "bmshj_minnen.train", *command], check=True)
  return directory


def main(argv):
  """Trains, measures, prints."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}; patterns need quotes")
  logging.set_verbosity(logging.INFO)
  results = pathlib.Path(_RESULTS.value)
  with startup.one_line_errors():
    if _IMAGES.value:
      # Rate by rate, so that an unfinished study has whole columns.
      cases = itertools.product(_LAMBDAS.value, config.PRIORS)
      directories = [_train(prior, lmbda) for lmbda, prior in cases]
      measuring.evaluate(
        measuring.EvaluationConfig(_IMAGES.value, str(results), models=directories)
      )
    text = tables.all_tables(measurements.read_rows(results / "images.csv"))
    outputs.write_atomically(str(results / "tables.md"), text.encode())
    print(text)


if __name__ == "__main__":
  app.run(main)
