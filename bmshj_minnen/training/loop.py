"""The training loop, and the files that a run writes.

A model directory contains

    config.json      ModelConfig
    weights.npz      float weights, by layer path
    coder.npz        integer weights and tables for entropy coding
    train.json       flags, versions and data of the training run
    metrics.csv      one row every `save_every` steps
    checkpoints/     weights and optimizer state, to resume from
    logs/            TensorBoard
"""

import contextlib
import dataclasses
import fcntl
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import tensorflow as tf
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.data import crops
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.model_files import model_directory, snapshots
from bmshj_minnen.runtime import precisions
from bmshj_minnen.training import distribution, failures, progress
from bmshj_minnen.training.callbacks import Board, Guard, Record
from bmshj_minnen.training.checkpoints import Checkpoints
from bmshj_minnen.training.coded_file import CodedFile
from bmshj_minnen.training.inputs import Inputs, find_validation
from bmshj_minnen.training.own_parts import Batch, OwnParts
from bmshj_minnen.training.schedules import learning_rate
from bmshj_minnen.training.train_config import TrainConfig
from bmshj_minnen.training.trainer import build

__all__ = ["check_same_model", "train", "write_record"]

_NOTHING = OwnParts()


def train(
  model_config: cfg.ModelConfig,
  config: TrainConfig,
  *,
  loss: Optional[Callable[[Batch], tf.Tensor]] = None,
  metrics: Optional[Mapping[str, Callable[[Batch], tf.Tensor]]] = None,
  dataset: Any = None,
  schedule: Any = None,
  callbacks: Sequence[tf.keras.callbacks.Callback] = (),
) -> pathlib.Path:
  """Trains, or continues training, in `config.model_dir`; shows progress, see `progress.shown`.

  `OwnParts` describes the optional arguments. A run that is resumed needs them again; train.json
  has their names.

  Args:
    model_config: config of the model.
    config: config of the run.
    loss: a function of a `Batch`, in place of R + λD.
    metrics: name -> a function of a `Batch`; validations show it as `val_NAME`.
    dataset: batches of photographs, or a function from the first step to them. A dataset is
      repeated, and a resumed run skips the batches of earlier steps: it sees what an uninterrupted
      run does only if its order is the same each time. With several machines give a function,
      because TensorFlow must not be used before their connection.
    schedule: the learning rate, such as a function of the step; `config.warmup` applies to it.
    callbacks: callbacks of Keras.

  Returns:
    The model directory, for `bmshj_minnen.load`. Its weights are finite, even after a failed run.

  Raises:
    DataError: no photograph is usable.
    TrainingError: losses or weights are not finite, the rate collapsed, or the memory is too small.
    OSError: a file cannot be written, for example on a full disk.
    ValueError: the optional arguments contradict the config, see `OwnParts.check`; the quantizer is
      unknown; entropy coding does not support the model; `model_dir` or `init_from` contains a
      model of another shape; `model_dir` has a checkpoint of another schedule or precision, or a
      model without checkpoint; another process trains there; the batch cannot be divided among the
      devices; or TF_CONFIG does not describe a cluster.
    KeyboardInterrupt: Ctrl-C; the run is saved, see `callbacks.Record`.
    WorkerLostError: another machine is lost; when this one is started again, it waits for it.
  """
  own = OwnParts(loss, metrics or {}, dataset, schedule, callbacks)
  own.check(config)
  with progress.shown(), failures.named_shortages(config):
    return _train(model_config, config, own)


def _train(model_config, config, own):
  strategy = distribution.make_strategy(config)
  distribution.check_batch(strategy, config.batch)
  failures.refuse_too_large_a_batch(model_config, config)
  directory = pathlib.Path(config.model_dir)
  check_same_model(model_config, directory)
  inputs, validation = Inputs(config, own), find_validation(config)
  on_gpu = bool(tf.config.list_physical_devices("GPU"))
  if config.precision_policy == "mixed_bfloat16" and not (on_gpu or precisions.bfloat16_is_fast()):
    logging.warning("mixed_bfloat16 is slower than float32 here: no AVX512-BF16 or AMX.")
  with strategy.scope():
    trainer = build(model_config, config, own)
  held_out = crops.validation_crops(validation.paths, config.crop, config.batch)
  with contextlib.ExitStack() as stack:
    if distribution.is_chief(strategy):
      stack.enter_context(_exclusive_lock(directory))
    return _train_in(directory, model_config, trainer, own, inputs, validation, held_out)


def _train_in(directory, model_config, trainer, own, inputs, validation, held_out):
  config, strategy = trainer.train_config, trainer.distribute_strategy
  checkpoints = Checkpoints(trainer, directory, next(iter(held_out)))
  first_step = checkpoints.restore()
  rate = learning_rate(config, own.schedule)
  if not callable(rate):  # Otherwise the checkpoint's learning rate would stay.
    trainer.set_learning_rate(rate)
  if not first_step:
    _refuse_model_without_checkpoint(directory)
    trainer.load_initial_weights()
    checkpoints.check_codec()
  if first_step >= config.steps:
    logging.info("%s is already trained for %d steps.", directory, first_step)
    checkpoints.save()
    return directory
  if distribution.is_chief(strategy):
    write_record(
      directory,
      model_config,
      config,
      own,
      devices=strategy.num_replicas_in_sync,
      **inputs.record(),
      validation=validation.paths,
      validation_skipped=validation.skipped,
    )
  with distribution.lost_workers():
    _fit(trainer, checkpoints, own, inputs, held_out, first_step)
  return directory


@contextlib.contextmanager
def _exclusive_lock(directory):
  """Locks a directory against other trainings; the lock ends with the process."""
  directory.mkdir(parents=True, exist_ok=True)
  handle = os.open(directory, os.O_RDONLY)
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise ValueError(
      f"another process is training {directory}: wait for it, or give another --model_dir"
    ) from error
  else:
    yield
  finally:
    os.close(handle)


def _refuse_model_without_checkpoint(directory):
  """Raises ValueError if a run from the first step would overwrite a model."""
  if model_directory.has_weights(directory):
    raise ValueError(
      f"{directory} holds a trained model, but no checkpoint to go on from: "
      f"give --init_from={directory} and another --model_dir"
    )


def check_same_model(model_config: cfg.ModelConfig, directory: pathlib.Path) -> None:
  """Refuses a directory that contains a different model.

  Raises:
    ValueError: `directory` contains a model with another config.
  """
  if not model_directory.has_weights(directory):  # Without weights there is nothing to overwrite.
    return
  existing = dataclasses.asdict(model_directory.load_config(str(directory)))
  asked = dataclasses.asdict(model_config)
  others = [f"{name}={value}" for name, value in existing.items() if value != asked[name]]
  if others:
    raise ValueError(
      f"{directory} holds another model, of {', '.join(others)}: "
      "give its flags, or another --model_dir"
    )


def _fit(trainer, checkpoints, own, inputs, held_out, first_step):
  config, strategy = trainer.train_config, trainer.distribute_strategy
  record = Record(checkpoints)
  guard = Guard(checkpoints)
  observers = [guard, *own.callbacks]
  shown = contextlib.nullcontext()
  if distribution.is_chief(strategy):
    observers.append(CodedFile(config.file_every, next(iter(held_out))))
  observers.append(record)
  if distribution.is_chief(strategy):
    shown = progress.ProgressCallback(first_step, config.steps, config.distortion)
    observers += [Board(checkpoints.directory / "logs", held_out), shown]
  logging.info(
    "Batches of %d on %d devices, %s from %g.",
    config.batch,
    strategy.num_replicas_in_sync,
    config.optimizer,
    config.learning_rate,
  )
  try:
    with shown, record.taking_interrupts():
      _fit_segments(trainer, guard, observers, inputs, held_out, first_step)
  except KeyboardInterrupt:
    checkpoints.save()
    logging.warning(
      "Interrupted at step %d; %s is usable, and the same command goes on from there.",
      checkpoints.step,
      config.model_dir,
    )
    raise


def _fit_segments(trainer, guard, observers, inputs, held_out, first_step):
  config, strategy = trainer.train_config, trainer.distribute_strategy
  for start, steps_per_epoch, epochs in _segments(first_step, config.steps, config.save_every):
    epoch = start // config.save_every
    trainer.fit(
      inputs.batches(strategy, start),
      steps_per_epoch=steps_per_epoch,
      initial_epoch=epoch,
      epochs=epoch + epochs,
      validation_data=strategy.distribute_datasets_from_function(
        functools.partial(crops.for_every_device, held_out)
      ),
      validation_steps=len(held_out),
      callbacks=observers,
      verbose=0,
    )
    if trainer.stop_training:  # A callback of the caller ends the run.
      return
    if guard.taken < start + steps_per_epoch * epochs - first_step:
      raise failures.TrainingError(
        f"the dataset ended before step {config.steps}: give a batch for every step, such as with "
        "dataset.repeat()"
      )


def _segments(first_step, last_step, every):
  """Splits a run into (start, steps per epoch, epochs); epochs end at multiples of `every`.

  There are up to three segments: the rest of an interrupted epoch, whole epochs, and a shorter last
  epoch.
  """
  step = first_step
  while step < last_step:
    to_boundary = every - step % every
    if to_boundary < every or last_step - step < every:
      steps_per_epoch, epochs = min(to_boundary, last_step - step), 1
    else:
      steps_per_epoch, epochs = every, (last_step - step) // every
    yield step, steps_per_epoch, epochs
    step += steps_per_epoch * epochs


def write_record(
  directory: pathlib.Path,
  model_config: cfg.ModelConfig,
  config: TrainConfig,
  own: OwnParts = _NOTHING,
  **details: Any,
) -> None:
  """Writes config.json and train.json: flags, own parts, versions, and `details` of the run.

  Each file is written completely or not at all. Flags of earlier runs in the directory are kept as
  `earlier_flags`, if they differ.
  """
  directory.mkdir(parents=True, exist_ok=True)
  snapshots.write_config(model_config, directory)
  packages = ("bmshj_minnen", "tensorflow", "tensorflow-compression", "numpy")
  versions = {"python": platform.python_version(), **{p: _version(p) for p in packages}}
  path = directory / model_directory.RECORD
  flags = {**dataclasses.asdict(config), **own.names()}
  record = {"flags": flags, "earlier_flags": _earlier_flags(path, flags)}
  text = json.dumps({**record, "versions": versions, **details}, indent=2) + "\n"
  outputs.write_atomically(str(path), text.encode())


def _earlier_flags(path, flags):
  """Flags of the recorded runs; logs the differences between the last of them and the new flags."""
  if not path.exists():
    return []
  record = json.loads(path.read_text())
  last = record["flags"]
  others = [f"{k}={last[k]} -> {v}" for k, v in flags.items() if k in last and last[k] != v]
  if not others:
    return record.get("earlier_flags", [])
  logging.warning("%s goes on with other flags: %s.", path.parent, ", ".join(others))
  return [*record.get("earlier_flags", []), last]


def _version(package) -> Optional[str]:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
