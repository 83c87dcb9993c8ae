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
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import tensorflow as tf
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.data import crops
from bmshj_minnen.runtime import precisions
from bmshj_minnen.training import distribution, failures, progress, run_directory
from bmshj_minnen.training.callbacks import Board, Guard, Record
from bmshj_minnen.training.checkpoints import Checkpoints
from bmshj_minnen.training.coded_file import CodedFile
from bmshj_minnen.training.inputs import Inputs, find_validation
from bmshj_minnen.training.own_parts import Batch, OwnParts
from bmshj_minnen.training.schedules import learning_rate
from bmshj_minnen.training.train_config import TrainConfig
from bmshj_minnen.training.trainer import build

__all__ = ["train"]


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
  run_directory.check_same_model(model_config, directory)
  inputs, validation = Inputs(config, own), find_validation(config)
  on_gpu = bool(tf.config.list_physical_devices("GPU"))
  if config.precision_policy == "mixed_bfloat16" and not (on_gpu or precisions.bfloat16_is_fast()):
    logging.warning("mixed_bfloat16 is slower than float32 here: no AVX512-BF16 or AMX.")
  with strategy.scope():
    trainer = build(model_config, config, own)
  with contextlib.ExitStack() as stack:
    if distribution.is_chief(strategy):
      stack.enter_context(run_directory.exclusive_lock(directory))
    _Run(directory, model_config, trainer, own, inputs, validation).finish()
  return directory


class _Run:
  """A run that begins, or goes on from its checkpoint.

  Args:
    directory: the model directory, which this process alone writes.
    model_config: config of the model.
    trainer: the model with its loss and optimizer.
    own: parts of the caller.
    inputs: batches for training.
    validation: photographs for validation.
  """

  def __init__(self, directory, model_config, trainer, own, inputs, validation):
    self._directory, self._model_config, self._trainer = directory, model_config, trainer
    self._own, self._inputs, self._validation = own, inputs, validation
    self._config, self._strategy = trainer.train_config, trainer.distribute_strategy
    self._is_chief = distribution.is_chief(self._strategy)
    self._held_out = crops.validation_crops(validation.paths, self._config.crop, self._config.batch)
    self._checkpoints = Checkpoints(trainer, directory, next(iter(self._held_out)))

  def finish(self):
    """Takes the steps that are left."""
    first_step = self._checkpoints.restore()
    rate = learning_rate(self._config, self._own.schedule)
    if not callable(rate):  # Otherwise the checkpoint's learning rate would stay.
      self._trainer.set_learning_rate(rate)
    if not first_step:
      run_directory.refuse_model_without_checkpoint(self._directory)
      run_directory.refuse_files_of_others(self._directory)
      self._trainer.load_initial_weights()
      self._checkpoints.check_codec()
    if first_step >= self._config.steps:
      logging.info("%s is already trained for %d steps.", self._directory, first_step)
      if self._is_chief:
        run_directory.warn_of_unused_flags(self._directory, self._config, self._own)
      self._checkpoints.save()
      return
    if self._is_chief:
      self._write_record()
    with distribution.lost_workers():
      self._fit(first_step)

  def _write_record(self):
    run_directory.write_record(
      self._directory,
      self._model_config,
      self._config,
      self._own,
      devices=self._strategy.num_replicas_in_sync,
      **self._inputs.record(),
      validation=self._validation.paths,
      validation_skipped=self._validation.skipped,
    )

  def _fit(self, first_step):
    config, checkpoints = self._config, self._checkpoints
    record, guard = Record(checkpoints), Guard(checkpoints)
    observers = [guard, *self._own.callbacks]
    shown = contextlib.nullcontext()
    if self._is_chief:
      observers.append(CodedFile(config.file_every, next(iter(self._held_out))))
    observers.append(record)
    if self._is_chief:
      shown = progress.ProgressCallback(first_step, config.steps, config.distortion)
      observers += [Board(checkpoints.directory / "logs", self._held_out), shown]
    own = "of the caller's own"
    logging.info(
      "Batches %s; devices: %d; %s with a learning rate %s.",
      f"of {config.batch}" if self._own.dataset is None else own,
      self._strategy.num_replicas_in_sync,
      config.optimizer,
      f"from {config.learning_rate:g}" if self._own.schedule is None else own,
    )
    try:
      with shown, record.taking_interrupts():
        self._fit_segments(guard, observers, first_step)
    except KeyboardInterrupt:
      checkpoints.save()
      logging.warning(
        "Interrupted at step %d; %s is usable, and the same command goes on from there.",
        checkpoints.step,
        config.model_dir,
      )
      raise

  def _fit_segments(self, guard, observers, first_step):
    last_step, every = self._config.steps, self._config.save_every
    for start, steps_per_epoch, epochs in _segments(first_step, last_step, every):
      epoch = start // every
      self._trainer.fit(
        self._inputs.batches(self._strategy, start),
        steps_per_epoch=steps_per_epoch,
        initial_epoch=epoch,
        epochs=epoch + epochs,
        validation_data=self._strategy.distribute_datasets_from_function(
          functools.partial(crops.for_every_device, self._held_out)
        ),
        validation_steps=len(self._held_out),
        callbacks=observers,
        verbose=0,
      )
      if self._trainer.stop_training:  # A callback of the caller ends the run.
        return
      if guard.taken < start + steps_per_epoch * epochs - first_step:
        raise failures.TrainingError(
          f"the dataset ended before step {last_step}: give a batch for every step, such as with "
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
