"""Continues the training of one model in several ways, each for the same time.

`python -m experiments.recipe.run --init_from=MODEL --train_glob='photos/**/*.png'` measures the
time per step of each recipe, trains each for as many steps as fit into `--minutes`, and prints
the table. Results that are already in `--results` are kept.
"""

import dataclasses
import functools
import pathlib
import statistics
import time

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

from bmshj_minnen.command_line import usage
from bmshj_minnen.data import crops, finding
from bmshj_minnen.model_files import model_directory, weights
from bmshj_minnen.training import trainer as training
from bmshj_minnen.training.train_config import PRECISIONS, TrainConfig
from experiments import common
from experiments.recipe import tables
from experiments.recipe.soap import SOAP
from experiments.speed import timing, work

_HERE = pathlib.Path(__file__).parent
_VALIDATION_CROP = 256
_TIMED = 5  # Steps.

_INIT_FROM = flags.DEFINE_string("init_from", "joint-mse", "Model that all recipes start from.")
_TRAIN = flags.DEFINE_string("train_glob", "", "Photographs to train on; empty: bundled ones.")
_VALIDATION = flags.DEFINE_string("validation_glob", "", "Photographs to validate on.")
_MINUTES = flags.DEFINE_float("minutes", 3, "Time for each recipe, at its measured speed.")
_RUNS = flags.DEFINE_integer("runs", 5, "Runs of five steps for the medians of times.")
_PRECISION = flags.DEFINE_enum("precision_policy", "float32", PRECISIONS, "Precision of training.")
_RESULTS = flags.DEFINE_string("results", str(_HERE / "results"), "Folder for the results.")
_TIME_ONLY = flags.DEFINE_bool("time_only", False, "Measure the steps, and train nothing.")
_PARTS = flags.DEFINE_integer("parts", 4, "Number of validations per run, evenly spaced.")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Settings that differ between runs: see `training.train_config`; `optimizer` may be "soap"."""

  optimizer: str = "muon"
  learning_rate: float = 4e-4
  batch: int = 8
  crop: int = 128
  schedule: str = "constant"
  average: float = 0.995

  @property
  def name(self) -> str:
    """The recipe's name in tables and files."""
    words = [self.optimizer, f"{self.learning_rate:g}", f"{self.batch}x{self.crop}"]
    words += [self.schedule] if self.schedule != "constant" else []
    words += ["no average"] if not self.average else []
    return " ".join(words)


RECIPES = (
  Recipe(),
  Recipe(learning_rate=1e-4),
  Recipe(learning_rate=1e-3),
  Recipe(batch=2, crop=256),
  Recipe(batch=1, crop=384),
  Recipe(schedule="cosine"),
  Recipe(average=0),
  Recipe(optimizer="adam", learning_rate=1e-4),
  Recipe(optimizer="soap"),
  Recipe(optimizer="soap", learning_rate=1e-4),
)


def _build(recipe, steps):
  """A trainer with the weights of `init_from`."""
  config = TrainConfig(
    model_dir="",
    init_from=_INIT_FROM.value,
    crop=recipe.crop,
    batch=recipe.batch,
    steps=steps,
    optimizer="adam" if recipe.optimizer == "soap" else recipe.optimizer,
    learning_rate=recipe.learning_rate,
    schedule=recipe.schedule,
    average=recipe.average,
    precision_policy=_PRECISION.value,
  )
  trainer = training.build(model_directory.load_config(_INIT_FROM.value), config)
  if recipe.optimizer == "soap":
    optimizer = SOAP.from_config(trainer.optimizer.get_config())
    optimizer.finalize_variable_values = lambda _: None
    optimizer.build(trainer.model.trainable_variables)
    trainer.compile(optimizer=optimizer)
  trainer.load_initial_weights()
  return trainer


def _batches(recipe, steps):
  """Batches of random crops; photographs that are smaller than a crop are left out."""
  patterns = [_TRAIN.value] if _TRAIN.value else finding.bundled_photographs()
  photographs = finding.find_photographs(patterns, recipe.crop)
  settings = crops.CropSettings(recipe.crop, recipe.batch, seed=0, first_step=0, last_step=steps)
  return crops.photograph_crops(photographs.paths, settings)


def _time_steps(recipes):
  """Rows with milliseconds per step and the share of the matrix rate; recipes take turns."""
  tasks, operations = {}, {}
  for recipe in recipes:
    trainer = _build(recipe, 1000)
    batch = next(iter(_batches(recipe, 1)))
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    task = functools.partial(_steps, trainer.make_train_function(), batches)
    task()  # Traces.
    tasks[recipe.name] = functools.partial(timing.measure, task)
    operations[recipe.name] = _operations(recipe, trainer.model)
  samples = timing.interleave(tasks, _RUNS.value)
  timing.print_quiet(samples)
  rate = work.product_rate("bfloat16" if "bfloat16" in _PRECISION.value else "float32")
  rows = []
  for name, runs in samples.items():
    seconds = statistics.median(sample.seconds for sample in runs) / _TIMED
    share = operations[name] / seconds / rate
    rows.append({"recipe": name, "ms": f"{1000 * seconds:.1f}", "share": f"{share:.3f}"})
  return rows


def _steps(function, batches):
  for _ in range(_TIMED):
    function(batches)


def _operations(recipe, model):
  """Operations in a step's matrix products: forward, and twice as many for gradients."""
  arrays = weights.to_arrays(model)
  of_crop = work.operations(model.config, arrays, recipe.crop, recipe.crop)
  encode, decode = of_crop["encode"], of_crop["decode"]
  return 3 * recipe.batch * (encode.float + decode.float + encode.exact / work.BYTES)


def _validate(trainer, held_out):
  """R + λD at each of the validation's λ, with the average weights if there are any."""
  losses = tf.function(trainer.validation_losses)
  count = sum(len(x) for x in held_out)
  with trainer.averaged():
    return [
      sum(float(losses(x, tf.constant(lmbda)).loss) * len(x) for x in held_out) / count
      for lmbda in trainer.validation_lambdas
    ]


def _train(recipe, milliseconds, held_out):
  """Rows of the results: one at the start and one for each part of the run."""
  part = max(1, round(60_000 * _MINUTES.value / milliseconds / _PARTS.value))
  steps = part * _PARTS.value
  trainer = _build(recipe, steps)
  names = [f"{lmbda:.3g}" for lmbda in trainer.validation_lambdas]
  start, rows = time.monotonic(), [_row(recipe, 0, names, trainer, held_out)]

  def add_row(epoch, logs):
    del logs
    rows.append(_row(recipe, (epoch + 1) * part, names, trainer, held_out))
    logging.info("%s, %.0f s: %s", recipe.name, time.monotonic() - start, rows[-1])

  trainer.fit(
    _batches(recipe, steps),
    epochs=_PARTS.value,
    steps_per_epoch=part,
    verbose=0,
    callbacks=[tf.keras.callbacks.LambdaCallback(on_epoch_end=add_row)],
  )
  return rows


def _row(recipe, step, names, trainer, held_out):
  losses = (f"{loss:.5f}" for loss in _validate(trainer, held_out))
  return {"recipe": recipe.name, "step": step, **dict(zip(names, losses))}


def _train_all(steps, path):
  """Adds missing recipes to the results."""
  validation = [_VALIDATION.value] if _VALIDATION.value else finding.held_out_photographs()
  paths = finding.find_photographs(validation, _VALIDATION_CROP).paths
  held_out = list(crops.validation_crops(paths, _VALIDATION_CROP, 8))
  rows = common.read_csv(path) if path.exists() else []
  for recipe in RECIPES:
    if recipe.name not in {row["recipe"] for row in rows}:
      (milliseconds,) = (float(row["ms"]) for row in steps if row["recipe"] == recipe.name)
      rows += _train(recipe, milliseconds, held_out)
      common.write_csv(path, rows)


def main(argv):
  """Measures, trains, prints."""
  usage.refuse_arguments(argv, has_patterns=True)
  logging.set_verbosity(logging.INFO)
  results = pathlib.Path(_RESULTS.value)
  steps, runs = results / "steps.csv", results / "runs.csv"
  with startup.one_line_errors():
    results.mkdir(parents=True, exist_ok=True)
    if not steps.exists():
      common.write_csv(steps, _time_steps(RECIPES))
    if not _TIME_ONLY.value:
      _train_all(common.read_csv(steps), runs)
      text = tables.table(common.read_csv(steps), common.read_csv(runs))
      common.write_text(results / "table.md", text)
      print(text)


if __name__ == "__main__":
  app.run(main)
