"""Training a model: the step, the loop around it, and what a run leaves on disk.

A model directory holds

    config.json      ModelConfig
    weights.npz      float weights, by layer path
    coder.npz        what entropy coding reads: integer weights and tables
    train.json       flags, versions and data of the run that made it
    metrics.csv      one row every `save_every` steps
    checkpoints/     weights and optimizer state, to resume from
    logs/            TensorBoard
"""

import csv
import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import time
from typing import Optional

import numpy as np
import tensorflow as tf
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen import data, model_directory
from bmshj_minnen.model import Losses, Model, losses

__all__ = ["Trainer", "TrainingError", "learning_rate", "train"]

_WINDOW = 100  # Steps that the training metrics are averaged over.
_COLLAPSED_BPP = 1e-4  # Below this over a window, no image information is sent.
_NUM_IMAGES = 4  # Reconstructions shown in TensorBoard.


class TrainingError(RuntimeError):
  """Training cannot go on; the message says what to change."""


class Trainer(tf.keras.Model):
  """A model with its loss and optimizer; `fit` calls `train_step` and `test_step`."""

  def __init__(self, model: Model, train_config: cfg.TrainConfig):
    super().__init__()
    self.model = model
    self.train_config = train_config
    self._metrics = [tf.keras.metrics.Mean(name) for name in Losses._fields]

  @property
  def metrics(self):
    return self._metrics

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """Reconstructs a batch with rounding: [B, H, W, 3] in 0..255 -> the same, uint8."""
    return tf.saturate_cast(tf.round(self.model.rounded(x)[0]), tf.uint8)

  def _evaluate(self, x, outputs):
    return losses(x, *outputs, self.train_config.lmbda, self.train_config.distortion)

  def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """One step of gradient descent; the noise is a function of the seed and the step."""
    step = tf.cast(self.optimizer.iterations, tf.int32)
    seed = tf.stack([tf.constant(self.train_config.seed), step])
    with tf.GradientTape() as tape:
      result = self._evaluate(x, self.model(x, seed=seed))
    variables = self.model.trainable_variables
    self.optimizer.apply_gradients(zip(tape.gradient(result.loss, variables), variables))
    return self._update(result, 1)

  def test_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """Adds one validation batch to the means."""
    result = self._evaluate(x, self.model.rounded(x))
    return self._update(result, tf.shape(x)[0])

  def _update(self, result, weight):
    for metric, value in zip(self._metrics, result):
      metric.update_state(value, sample_weight=weight)
    return {metric.name: metric.result() for metric in self._metrics}


def learning_rate(config: cfg.TrainConfig):
  """The schedule as Keras takes it: a number, or a function of the step."""
  if config.schedule == "cosine":
    return tf.keras.optimizers.schedules.CosineDecay(config.learning_rate, config.steps, alpha=0.01)
  if config.schedule == "step":
    return tf.keras.optimizers.schedules.PiecewiseConstantDecay(
      [config.steps * 4 // 5], [config.learning_rate, config.learning_rate / 10]
    )
  return config.learning_rate


def train(model_config: cfg.ModelConfig, config: cfg.TrainConfig) -> pathlib.Path:
  """Trains, or goes on training, in `config.model_dir`.

  Returns:
    The model directory; `Codec.load` reads it.

  Raises:
    DataError: nothing to train on.
    TrainingError: the loss is not finite, or the rate collapsed.
    ValueError: `model_dir` or `init_from` hold a model of another shape.
  """
  directory = pathlib.Path(config.model_dir)
  photographs, validation = _find_data(config)
  tf.keras.utils.set_random_seed(config.seed)
  tf.keras.mixed_precision.set_global_policy(config.precision)
  try:
    trainer = _build(model_config, config, directory)
    held_out = data.validation_crops(validation.paths, config.crop, config.batch)
    checkpoints = _Checkpoints(trainer, directory, next(iter(held_out)))
    first_step = checkpoints.restore()
    if not first_step and config.init_from:
      model_directory.load_weights(trainer.model, pathlib.Path(config.init_from))
    _write_record(directory, model_config, config, photographs, validation)
    if first_step >= config.steps:
      logging.info("%s is already trained for %d steps.", directory, first_step)
      checkpoints.save()
    else:
      _fit(trainer, checkpoints, photographs, held_out, first_step)
  finally:
    tf.keras.mixed_precision.set_global_policy("float32")
  return directory


def _find_data(config):
  """Photographs to train on (None for a tfds dataset) and to validate with."""
  validation_patterns = [config.validation_glob] if config.validation_glob else []
  photographs = None
  if config.train_glob:
    photographs = data.find_photographs([config.train_glob], config.crop)
    logging.info("Training on %s.", photographs.summary())
  elif not config.dataset:
    photographs = data.find_photographs(data.bundled_photographs(), config.crop)
    logging.info(
      "Training on the %d sample photographs that scikit-image and scikit-learn carry. That shows "
      "that everything works; a good model needs thousands: --train_glob='photos/**/*.png'.",
      len(photographs.paths),
    )
  validation = data.find_photographs(
    validation_patterns or data.held_out_photographs(), config.crop
  )
  logging.info("Validating on %s.", validation.summary())
  return photographs, validation


def _build(model_config, config, directory):
  if (directory / "config.json").exists():
    existing = cfg.ModelConfig.load(directory / "config.json")
    if existing != model_config:
      raise ValueError(
        f"{directory} holds another model ({existing}); give its flags, or another --model_dir"
      )
  trainer = Trainer(Model(model_config), config)
  model_directory.create_variables(trainer.model)
  optimizer = tf.keras.optimizers.Adam(
    learning_rate(config), global_clipnorm=config.clip_norm or None
  )
  optimizer.build(trainer.model.trainable_variables)
  trainer.compile(optimizer=optimizer)
  return trainer


def _fit(trainer, checkpoints, photographs, held_out, first_step):
  config = trainer.train_config
  board = _Board(pathlib.Path(config.model_dir) / "logs", held_out)
  callbacks = [_Guard(config.model_dir), _Record(checkpoints), board]
  try:
    for start, steps_per_epoch, epochs in _segments(first_step, config.steps, config.save_every):
      epoch = start // config.save_every
      trainer.fit(
        _batches(config, photographs, start),
        steps_per_epoch=steps_per_epoch,
        initial_epoch=epoch,
        epochs=epoch + epochs,
        validation_data=held_out,
        callbacks=callbacks,
      )
  except KeyboardInterrupt:
    checkpoints.save()
    logging.warning(
      "Interrupted at step %d; %s is usable, and the same command goes on from there.",
      int(trainer.optimizer.iterations),
      config.model_dir,
    )


def _batches(config, photographs, first_step):
  if photographs:
    return data.photograph_crops(
      photographs.paths, config.crop, config.batch, config.seed, first_step, config.steps
    )
  return data.dataset_crops(
    config.dataset, config.data_dir, config.crop, config.batch, config.seed, first_step
  )


def _segments(first_step, last_step, every):
  """Splits a run into (start, steps an epoch, epochs), epochs ending at multiples of `every`.

  Up to three: the rest of an epoch that was interrupted, whole epochs, and a shorter last one.
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


class _Checkpoints:
  """Weights and optimizer state, and beside them the files that a codec is made from."""

  def __init__(self, trainer, directory, typical_images):
    self._trainer = trainer
    self.directory = directory
    self._typical_images = typical_images
    checkpoint = tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer)
    self._manager = tf.train.CheckpointManager(
      checkpoint, str(directory / "checkpoints"), max_to_keep=2
    )

  def restore(self) -> int:
    """Goes back to the newest checkpoint; returns its step, 0 if there is none."""
    if self._manager.latest_checkpoint:
      self._manager.checkpoint.restore(self._manager.latest_checkpoint).assert_consumed()
      logging.info("Resuming from %s.", self._manager.latest_checkpoint)
    return int(self._trainer.optimizer.iterations)

  def save(self):
    self._manager.save(checkpoint_number=self._trainer.optimizer.iterations)
    model_directory.save(self._trainer.model, self.directory, self._typical_images)


class _Guard(tf.keras.callbacks.Callback):
  """Stops a run that has lost its way before it overwrites a good checkpoint."""

  def __init__(self, model_dir):
    super().__init__()
    self._model_dir = model_dir
    self._steps = 0

  def on_train_batch_begin(self, batch, logs=None):
    if self._steps % _WINDOW == 0:
      self.model.reset_metrics()
    self._steps += 1

  def on_train_batch_end(self, batch, logs=None):
    if not np.isfinite(logs["loss"]):
      raise TrainingError(
        f"the loss became {logs['loss']}: lower --learning_rate or --clip_norm; "
        f"the last good checkpoint is in {self._model_dir}"
      )
    if self._steps % _WINDOW == 0 and logs["bpp"] < _COLLAPSED_BPP:
      raise TrainingError(
        f"the rate collapsed to {logs['bpp']:.2g} bits per pixel: raise --lambda, or lower "
        f"--learning_rate; the last checkpoint is in {self._model_dir}"
      )


class _Record(tf.keras.callbacks.Callback):
  """Saves, and adds a row to metrics.csv."""

  def __init__(self, checkpoints):
    super().__init__()
    self._checkpoints = checkpoints
    self._start = time.time()

  def on_epoch_end(self, epoch, logs=None):
    self._checkpoints.save()
    row = {"step": int(self.model.optimizer.iterations), "seconds": time.time() - self._start}
    row.update({name: float(value) for name, value in logs.items()})
    path = self._checkpoints.directory / "metrics.csv"
    new = not path.exists()
    with open(path, "a", newline="") as file:
      writer = csv.DictWriter(file, row)
      if new:
        writer.writeheader()
      writer.writerow(row)


class _Board(tf.keras.callbacks.Callback):
  """Scalars and reconstructions for TensorBoard, by step."""

  def __init__(self, folder, held_out):
    super().__init__()
    self._writer = tf.summary.create_file_writer(str(folder))
    self._images = next(iter(held_out))[:_NUM_IMAGES]

  def on_epoch_end(self, epoch, logs=None):
    step = int(self.model.optimizer.iterations)
    with self._writer.as_default(step=step):
      for name, value in logs.items():
        tf.summary.scalar(name, value)
      tf.summary.image("original", self._images, max_outputs=_NUM_IMAGES)
      tf.summary.image("reconstruction", self.model(self._images), max_outputs=_NUM_IMAGES)
    self._writer.flush()


def _write_record(directory, model_config, config, photographs, validation):
  directory.mkdir(parents=True, exist_ok=True)
  model_config.save(directory / "config.json")
  packages = ("bmshj_minnen", "tensorflow", "tensorflow-compression", "numpy")
  record = {
    "flags": dataclasses.asdict(config),
    "versions": {"python": platform.python_version(), **{p: _version(p) for p in packages}},
    "train": photographs.paths if photographs else config.dataset,
    "train_skipped": photographs.skipped if photographs else {},
    "validation": validation.paths,
    "validation_skipped": validation.skipped,
  }
  (directory / "train.json").write_text(json.dumps(record, indent=2) + "\n")


def _version(package) -> Optional[str]:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
