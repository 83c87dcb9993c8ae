"""Trains the five priors alike, on equal latents and then on their own, and compares their files.

`python -m experiments.priors.run --train_glob='photos/**/*.png' --images='kodak/*.png'` trains
the missing models, measures the missing rows, and prints the tables. Without `--images` it
prints the tables of the results that are there.
"""

import pathlib

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import measurements, measuring
from bmshj_minnen.training.train_config import PRECISIONS
from experiments import common
from experiments.priors import figures, lead, runs, tables

_HERE = pathlib.Path(__file__).parent

_LATENTS_OF = flags.DEFINE_string(
  "latents_of", "joint-mse", "The model whose transforms are taken."
)
_TRAIN = flags.DEFINE_string("train_glob", "", "Photographs to train on.")
_VALIDATION = flags.DEFINE_string("validation_glob", "", "Photographs to validate on.")
_IMAGES = flags.DEFINE_string("images", "", "A pattern of photographs to measure on.")
_MODELS = flags.DEFINE_string("models", "models/priors", "Folder of the trained models.")
_RESULTS = flags.DEFINE_string("results", str(_HERE / "results"), "Folder of the measurements.")
_QUALITIES = flags.DEFINE_list(
  "qualities", ["10", "30", "50", "70", "90"], "Qualities that are measured on the images."
)
_STEPS = flags.DEFINE_integer("steps", 2400, "Steps on equal latents.")
_OWN_STEPS = flags.DEFINE_integer("own_steps", 0, "Steps of all networks after that; 0: none.")
_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Initial learning rate on equal latents.")
_OWN_RATE = flags.DEFINE_float("own_learning_rate", 1e-4, "The same for all networks.")
_PRECISION = flags.DEFINE_enum(
  "precision_policy", "float32", PRECISIONS, "Precision of the convolutions in training."
)
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds of weights, crops and noise, on equal latents.")


def _settings():
  return runs.Settings(
    latents_of=_LATENTS_OF.value,
    train_glob=_TRAIN.value,
    validation_glob=_VALIDATION.value,
    models=_MODELS.value,
    steps={"equal": _STEPS.value, "own": _OWN_STEPS.value},
    learning_rates={"equal": _RATE.value, "own": _OWN_RATE.value},
    precision_policy=_PRECISION.value,
  )


def _train_and_measure(results):
  settings = _settings()
  points = lead.read_points(results / "training.csv")
  for run in runs.all_runs([int(seed) for seed in _SEEDS.value], settings):
    run.train(settings)
    points = [point for point in points if point.run != run]
    points += lead.training_points(run.directory(settings) / "metrics.csv", run)
    results.mkdir(parents=True, exist_ok=True)
    common.write_text(results / "training.csv", lead.to_csv(points))
    measuring.evaluate(
      measuring.EvaluationConfig(
        _IMAGES.value,
        str(results),
        models=[str(run.directory(settings))],
        label=run.label,
        qualities=[int(quality) for quality in _QUALITIES.value],
      )
    )


def main(argv):
  """Trains, measures, prints."""
  usage.refuse_arguments(argv, has_patterns=True)
  logging.set_verbosity(logging.INFO)
  results = pathlib.Path(_RESULTS.value)
  with startup.one_line_errors():
    if _IMAGES.value:
      _train_and_measure(results)
    rows = measurements.read_rows(results / "images.csv")
    points = lead.read_points(results / "training.csv")
    text = tables.all_tables(rows, points)
    common.write_text(results / "tables.md", text)
    figures.bits(rows).savefig(results / "priors.png")
    print(text)


if __name__ == "__main__":
  app.run(main)
