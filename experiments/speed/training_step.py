"""Times a training step: `python -m experiments.speed.training_step`."""

import contextlib
import functools
import os
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import numpy as np
import tensorflow as tf

from bmshj_minnen import config
from bmshj_minnen.command_line import usage
from bmshj_minnen.training import trainer
from bmshj_minnen.training.train_config import TrainConfig
from experiments.speed import timing
from experiments.speed.bmshj2018 import ScaleHyperprior
from experiments.speed.photographs import batch

_DEFAULTS = TrainConfig(model_dir="")
_PRIOR = flags.DEFINE_enum("prior", "joint", config.PRIORS, "Prior of this project's model.")
_NUM_FILTERS = flags.DEFINE_integer("num_filters", 192, "N = M.")
_BATCH = flags.DEFINE_integer("batch", _DEFAULTS.batch, "Crops per step.")
_CROP = flags.DEFINE_integer("crop", _DEFAULTS.crop, "Side of the crops, pixels.")
_RUNS = flags.DEFINE_integer("runs", 7, "Steps for each median.", lower_bound=1)
_COMPRESSAI = flags.DEFINE_string(
  "compressai_python", "", "A Python with CompressAI; its mbt2018 of the same N = M is timed, too."
)
_OURS, _TFC, _PEER = "this model", "tfc scale hyperprior", "CompressAI mbt2018"


def _ours():
  """The model, loss and optimizer of `bmshj_minnen.training.loop.train`."""
  return trainer.build(
    config.ModelConfig(_PRIOR.value, _NUM_FILTERS.value, _NUM_FILTERS.value),
    TrainConfig(model_dir="", batch=_BATCH.value, crop=_CROP.value),
  )


def _tfc():
  model = ScaleHyperprior(_NUM_FILTERS.value, _DEFAULTS.lmbda)
  model.compile(optimizer=tf.keras.optimizers.Adam(1e-4))
  return model


def _step(name, model, x):
  """A function without arguments that takes one step, already traced."""
  batches = iter(tf.data.Dataset.from_tensors(x).repeat())
  function = model.make_train_function()
  start = time.perf_counter()
  function(batches)
  print(f"{name}: the first step, with its tracing, took {time.perf_counter() - start:.1f} s")
  return lambda: function(batches)


@contextlib.contextmanager
def _compressai(x):
  with tempfile.NamedTemporaryFile(suffix=".npy") as file:
    np.save(file.name, x)
    with timing.Peer(_COMPRESSAI.value, "training", file.name, str(_NUM_FILTERS.value)) as peer:
      yield peer


def main(argv):
  """Prints a table."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), contextlib.ExitStack() as stack:
    tf.keras.utils.set_random_seed(0)
    x = batch(_BATCH.value, _CROP.value)
    print(f"N = M = {_NUM_FILTERS.value}, batch {list(x.shape)}, {os.cpu_count()} processors")
    steps = {_OURS: _step(_OURS, _ours(), x), _TFC: _step(_TFC, _tfc(), x)}
    tasks = {name: functools.partial(timing.measure, step) for name, step in steps.items()}
    if _COMPRESSAI.value:
      peer = stack.enter_context(_compressai(x))
      print(f"{_PEER}: {peer.note}")
      tasks[_PEER] = functools.partial(peer, "step")
    timing.interleave(tasks, 1)  # Warm up.
    samples = timing.interleave(tasks, _RUNS.value)
    timing.print_table({name: [s.seconds for s in runs] for name, runs in samples.items()})
    timing.print_ratios(samples, [(_TFC, _OURS), (_PEER, _OURS)])


if __name__ == "__main__":
  app.run(main)
