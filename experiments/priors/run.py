"""Trains the five priors alike and compares them through real files.

`python -m experiments.priors.run --train_glob='photos/**/*.png' --images='kodak/*.png'` trains what
is not trained yet, measures what is not measured yet, and prints the tables. Without `--images` it
prints the tables of the results that are there.
"""

import pathlib
import subprocess
import sys

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import config
from bmshj_minnen.evaluation import measurements, measuring
from bmshj_minnen.photographs import outputs
from experiments.priors import lead, tables

_HERE = pathlib.Path(__file__).parent

_TRAIN = flags.DEFINE_string("train_glob", "", "Photographs to train on.")
_VALIDATION = flags.DEFINE_string("validation_glob", "", "Photographs to validate on.")
_IMAGES = flags.DEFINE_string("images", "", "A pattern of photographs to measure on.")
_MODELS = flags.DEFINE_string("models", "models/priors", "Where the trained models go.")
_RESULTS = flags.DEFINE_string("results", str(_HERE / "results"), "Where the measurements go.")
_RANGE = flags.DEFINE_string("lambda_range", "0.003,0.03", "λ of R + λD, lowest and highest.")
_RATES = flags.DEFINE_integer("rates", 4, "Values of λ with gains of their own.")
_QUALITIES = flags.DEFINE_list(
  "qualities", ["1", "26", "50", "75", "100"], "Measured on the images, lowest to highest λ."
)
_STEPS = flags.DEFINE_integer("steps", 4000, "Training steps of each model.")
_SAVE_EVERY = flags.DEFINE_integer("save_every", 200, "Steps from one validation to the next.")
_N = flags.DEFINE_integer("num_filters", 64, "N.")
_M = flags.DEFINE_integer("latent_channels", 96, "M.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Constant.")
_AVERAGE = flags.DEFINE_float("average", 0.99, "Of the weights, as of training.")
_OPTIMIZER = flags.DEFINE_enum("optimizer", "muon", config.OPTIMIZERS, "Of the training.")
_PRECISION = flags.DEFINE_enum(
  "precision_policy", "float32", config.PRECISIONS, "Of the convolutions in training."
)
_SEEDS = flags.DEFINE_list(
  "seeds", ["0"], "Of weights, crops and noise, the same for all priors; files are of the first."
)
_SECOND = flags.DEFINE_list("priors_of_other_seeds", ["joint", "scale_hyperprior"], "Trained.")


def _train(prior, seed):
  """In a process of its own, which gives back its memory and resumes by itself.

  Returns:
    The model directory.
  """
  directory = pathlib.Path(_MODELS.value) / f"seed{seed}" / prior
  flags_ = {
    "prior": prior,
    "lambda_range": _RANGE.value,
    "rates": _RATES.value,
    "model_dir": directory,
    "train_glob": _TRAIN.value,
    "validation_glob": _VALIDATION.value,
    "num_filters": _N.value,
    "latent_channels": _M.value,
    "steps": _STEPS.value,
    "save_every": _SAVE_EVERY.value,
    "learning_rate": _LEARNING_RATE.value,
    "average": _AVERAGE.value,
    "optimizer": _OPTIMIZER.value,
    "precision_policy": _PRECISION.value,
    "seed": seed,
    "schedule": "constant",
    "crop": 128,
    "batch": 8,
  }
  command = [f"--{name}={value}" for name, value in flags_.items()]
  subprocess.run([sys.executable, "-m", "bmshj_minnen.train", *command], check=True)
  return directory


def _priors(seed):
  return _SECOND.value if seed != _SEEDS.value[0] else list(config.PRIORS)


def main(argv):
  """Trains, measures, prints."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}; patterns need quotes")
  logging.set_verbosity(logging.INFO)
  results = pathlib.Path(_RESULTS.value)
  training = results / "training.csv"
  with startup.one_line_errors():
    if _IMAGES.value:
      cases = [(prior, seed) for seed in _SEEDS.value for prior in _priors(seed)]
      models = {case: _train(*case) for case in cases}
      points = []
      for (prior, seed), directory in models.items():
        points += lead.training_points(directory / "metrics.csv", prior, int(seed))
      results.mkdir(parents=True, exist_ok=True)
      outputs.write_atomically(str(training), lead.to_csv(points).encode())
      for prior in config.PRIORS:
        measuring.evaluate(
          measuring.EvaluationConfig(
            _IMAGES.value,
            str(results),
            models=[str(models[prior, _SEEDS.value[0]])],
            label=prior,
            qualities=[int(quality) for quality in _QUALITIES.value],
          )
        )
    points = lead.read_points(training)
    text = tables.all_tables(measurements.read_rows(results / "images.csv"), points)
    outputs.write_atomically(str(results / "tables.md"), text.encode())
    lead.plot(points).savefig(results / "lead.png")
    print(text)


if __name__ == "__main__":
  app.run(main)
