"""What happens around the training steps: guarding, saving, recording, showing."""

import csv
import pathlib
import time

import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from bmshj_minnen import metrics
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.training import distribution

__all__ = ["Board", "Checkpoints", "Guard", "Progress", "Record", "TrainingError"]

_WINDOW = 100  # Steps that the training metrics are averaged over.
_COLLAPSED_BPP = 1e-4  # Below this over a window, no image information is sent.
_NUM_IMAGES = 4  # Reconstructions shown in TensorBoard.
_FIRST = 10  # Steps of a run after which the first numbers are shown.


class TrainingError(RuntimeError):
  """Training cannot go on; the message says what to change."""


class Checkpoints:
  """Weights and optimizer state, and beside them the files that a codec is made from."""

  def __init__(self, trainer: tf.keras.Model, directory: pathlib.Path, typical_images: tf.Tensor):
    """All machines must make theirs.

    Args:
      trainer: a compiled `Trainer` with all variables made, the optimizer's too.
      directory: the model directory; made if it is missing.
      typical_images: [B, H, W, 3] in 0..255; they set the ranges of the integer networks, see
        `freeze`.
    """
    self._trainer = trainer
    self.directory = directory
    self._typical_images = typical_images
    checkpoint = tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer)
    # Made now, by all machines: a variable that one alone made later would wait for the others.
    checkpoint.save_counter  # noqa: B018
    self._manager = tf.train.CheckpointManager(
      checkpoint, str(directory / "checkpoints"), max_to_keep=2
    )

  def restore(self) -> int:
    """Goes back to the newest checkpoint that is whole; returns its step, 0 if there is none.

    Raises:
      ValueError: the checkpoint has other variables than the trainer, or none is whole.
    """
    paths = self._manager.checkpoints[::-1]
    for path in paths:
      try:
        self._restore(path)
      except (IndexError, tf.errors.OpError) as error:  # What truncated files give.
        logging.warning("%s is damaged: %s", path, " ".join(str(error).split()))
      else:
        logging.info("Resuming from %s.", path)
        break
    else:
      if paths:
        raise ValueError(
          f"{self.directory}: no checkpoint is whole; to start again from its weights, give "
          f"--init_from={self.directory} and another --model_dir"
        )
    return int(self._trainer.optimizer.iterations.numpy())

  def _restore(self, path):
    status = None
    try:
      status = self._manager.checkpoint.restore(path)
      status.assert_consumed()
    except (AssertionError, ValueError) as error:
      if status is not None:
        status.expect_partial()  # Or TensorFlow, too, lists at its end what did not fit.
      # Of a model with the same configuration only the optimizer can have others.
      raise ValueError(
        f"{self.directory} was trained with another --schedule, --average or "
        "--precision_policy: give the same, or another --model_dir"
      ) from error

  def save(self) -> None:
    """Writes a checkpoint and the model; interrupted halfway, the ones before stay whole.

    Of several machines only the chief writes.
    """
    if not distribution.is_chief(self._trainer.distribute_strategy):
      return
    self._manager.save(checkpoint_number=self._trainer.optimizer.iterations.numpy())
    with self._trainer.averaged():
      model_directory.save(self._trainer.model, self.directory, self._typical_images)


class Guard(tf.keras.callbacks.Callback):
  """Stops a run that has lost its way before it overwrites a good checkpoint."""

  def __init__(self, model_dir: str):
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


class Record(tf.keras.callbacks.Callback):
  """Saves, and adds a row to metrics.csv."""

  def __init__(self, checkpoints: Checkpoints):
    super().__init__()
    self._checkpoints = checkpoints
    self._start = time.time()

  def on_epoch_end(self, epoch, logs=None):
    self._checkpoints.save()
    row = {
      "step": int(self.model.optimizer.iterations.numpy()),
      "seconds": time.time() - self._start,
    }
    row.update({name: float(value) for name, value in logs.items()})
    path = self._checkpoints.directory / "metrics.csv"
    with open(path, "a", newline="") as file:
      writer = csv.DictWriter(file, row)
      if not file.tell():  # A run that was killed may have left an empty file.
        writer.writeheader()
      writer.writerow(row)


class Progress(tf.keras.callbacks.Callback):
  """Shows how far the whole run is, and how long it will take; a context, which closes the bar.

  On a terminal that is a bar, elsewhere a line after the first few steps and after every save.
  """

  def __init__(self, first_step: int, steps: int):
    super().__init__()
    self._first, self._last = first_step, steps
    self._step = first_step
    self._start = time.monotonic()
    # disable=None: shown on a terminal only. smoothing=0: saves take their part of the time.
    self._bar = tqdm.tqdm(
      total=steps, initial=first_step, unit="step", disable=None, smoothing=0, dynamic_ncols=True
    )

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._bar.close()

  def on_train_batch_end(self, batch, logs=None):
    self._step += 1
    self._bar.set_postfix_str(_numbers(logs), refresh=False)
    self._bar.update()
    if self._step == self._first + _FIRST:
      self._tell(logs)

  def on_epoch_end(self, epoch, logs=None):
    self._tell(logs)

  def _tell(self, logs):
    if self._bar.disable:
      a_step = (time.monotonic() - self._start) / (self._step - self._first)
      left = tqdm.tqdm.format_interval(a_step * (self._last - self._step))
      logging.info(
        "Step %d of %d, %.3g s each, %s left: %s",
        self._step,
        self._last,
        a_step,
        left,
        _numbers(logs),
      )


def _numbers(logs):
  names = ("loss", "bpp", "val_loss", "val_bpp")
  return ", ".join(f"{name} {float(logs[name]):.4g}" for name in names if name in logs)


class Board(tf.keras.callbacks.Callback):
  """Scalars and reconstructions for TensorBoard, by step: soon after the start, too."""

  def __init__(self, folder: pathlib.Path, held_out: tf.data.Dataset):
    super().__init__()
    self._writer = tf.summary.create_file_writer(str(folder))
    self._images = next(iter(held_out))[:_NUM_IMAGES]
    self._steps = 0

  def on_train_batch_end(self, batch, logs=None):
    self._steps += 1
    if self._steps == _FIRST:
      self._write(logs)
    elif self._steps % _WINDOW == 0:
      with self._at_step():
        self._write_scalars(logs)

  def on_epoch_end(self, epoch, logs=None):
    self._write(logs)

  def _at_step(self):
    return self._writer.as_default(step=int(self.model.optimizer.iterations.numpy()))

  def _write_scalars(self, logs):
    for name, value in logs.items():
      tf.summary.scalar(name, value)
    tf.summary.scalar("learning_rate", self.model.optimizer.learning_rate)

  def _write(self, logs):
    with self._at_step():
      self._write_scalars(logs)
      with self.model.averaged():
        reconstructions = self.model(self._images)
      tf.summary.image("original", self._images, max_outputs=_NUM_IMAGES)
      tf.summary.image("reconstruction", reconstructions, max_outputs=_NUM_IMAGES)
      tf.summary.scalar(
        "psnr", np.mean([*map(metrics.psnr, self._images.numpy(), reconstructions.numpy())])
      )
      ms_ssim = tf.reduce_mean(metrics.ms_ssim(self._images, reconstructions))
      if not np.isnan(ms_ssim):  # Of crops that are too small.
        tf.summary.scalar("ms_ssim", ms_ssim)
    self._writer.flush()
