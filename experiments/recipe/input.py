"""Speed of reading photographs, and the time that training waits for them.

`python -m experiments.recipe.input --csv=input.csv`

Decodes JPEGs from disk: as a glob (`photograph_crops`) and as a dataset (`prepare`), plainly and
with --downscale. Columns: `input_images_per_s`, input alone; `step_ms`, a training step whose batch
is ready; `training_images_per_s`, both together; `waiting_%`, the share of the time that training
waits for a batch.
"""

import functools
import pathlib
import sys
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

from bmshj_minnen import config
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import crops, datasets, finding
from bmshj_minnen.training import trainer
from bmshj_minnen.training.train_config import TrainConfig
from experiments import common
from experiments.reliability.small_photographs import make_photographs

_IMAGES = flags.DEFINE_string("images", "", "Photographs to cut; empty: the bundled ones.")
_FILES = flags.DEFINE_integer("files", 64, "JPEGs to read.")
_WIDTH = flags.DEFINE_integer("width", 768, "Width of the JPEGs.")
_HEIGHT = flags.DEFINE_integer("height", 512, "Height of the JPEGs.")
_NUM_FILTERS = flags.DEFINE_integer("num_filters", 128, "N = M of the joint model.")
_CROP = flags.DEFINE_integer("crop", 256, "Side of the crops, pixels.")
_BATCH = flags.DEFINE_integer("batch", 8, "Crops per step.")
_STEPS = flags.DEFINE_integer("steps", 20, "Timed steps.", lower_bound=1)
_WARM = flags.DEFINE_integer("warm", 3, "Steps before the timed ones.", lower_bound=1)
_CSV = flags.DEFINE_string("csv", "", "File for the table, instead of stdout.")
_ALONE = 5  # Factor on the steps for input alone, which is fast and has some batches ready.


def _sources(folder):
  """Name -> a function that makes the dataset of crops."""
  paths = finding.find_photographs([str(folder / "in" / "*.jpg")], _CROP.value).paths
  datasets.prepare([str(folder / "in" / "*.jpg")], "photographs", str(folder), _CROP.value)
  last_step = _WARM.value + _ALONE * _STEPS.value
  for downscale in (False, True):
    name = " --downscale" if downscale else ""
    settings = crops.CropSettings(_CROP.value, _BATCH.value, 0, 0, last_step, downscale=downscale)
    yield f"--train_glob{name}", functools.partial(crops.photograph_crops, paths, settings)
    yield (
      f"--dataset{name}",
      functools.partial(datasets.dataset_crops, "photographs", str(folder), settings),
    )


def _input_alone(make):
  batches = iter(make())
  for _ in range(_WARM.value):
    next(batches)
  start = time.perf_counter()
  for _ in range(_ALONE * _STEPS.value):
    next(batches)
  return _ALONE * _STEPS.value * _BATCH.value / (time.perf_counter() - start)


def _trained(make, step):
  """Seconds in all, and seconds spent waiting for batches."""
  batches = iter(make())
  for _ in range(_WARM.value):
    step(next(batches))
  waiting, start = 0.0, time.perf_counter()
  for _ in range(_STEPS.value):
    before = time.perf_counter()
    x = next(batches)
    waiting += time.perf_counter() - before
    step(x)
  return time.perf_counter() - start, waiting


def _rows(folder):
  model = trainer.build(
    config.ModelConfig("joint", _NUM_FILTERS.value, _NUM_FILTERS.value),
    TrainConfig(model_dir="", crop=_CROP.value, batch=_BATCH.value),
  )
  graph = tf.function(model.gradient_step)

  def step(x):
    graph(x).loss.numpy()  # Waits for the end of the step.

  for name, make in _sources(folder):
    constant = tf.data.Dataset.from_tensors(next(iter(make()))).repeat()
    ready, _ = _trained(lambda ds=constant: ds, step)
    seconds, waiting = _trained(make, step)
    yield {
      "source": name,
      "input_images_per_s": f"{_input_alone(make):.1f}",
      "step_ms": f"{1000 * ready / _STEPS.value:.1f}",
      "training_images_per_s": f"{_STEPS.value * _BATCH.value / seconds:.1f}",
      "waiting_%": f"{100 * waiting / seconds:.2f}",
    }


def main(argv):
  """Prints a table."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    args = (_FILES.value, _WIDTH.value, _HEIGHT.value, ".jpg")
    make_photographs(folder / "in", _IMAGES.value, *args)
    crops._MEMORY = 0  # As if memory were too small: each photograph is decoded when needed.
    rows = []
    for row in _rows(folder):
      rows.append(row)
      print(row, file=sys.stderr, flush=True)
    if _CSV.value:
      common.write_csv(_CSV.value, rows)
    else:
      print(common.csv_text(rows), end="")


if __name__ == "__main__":
  app.run(main)
