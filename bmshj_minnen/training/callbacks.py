"""Keras callbacks of a run: guarding, saving, TensorBoard."""

import contextlib
import pathlib
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from absl import logging

from bmshj_minnen import metrics
from bmshj_minnen.training.checkpoints import Checkpoints
from bmshj_minnen.training.failures import TrainingError

__all__ = ["Board", "Guard", "Record"]

# Choices of this project; the paper has none.
_WINDOW = 100  # Steps over which the training metrics are averaged.
_COLLAPSED_BPP = 1e-4  # 7 bits per crop of 256x256; with fewer, files carry no image at all.
_NUM_IMAGES = 4  # Reconstructions shown in TensorBoard.
_FIRST = 10  # Steps of a run after which TensorBoard gets its first pictures.


class Guard(tf.keras.callbacks.Callback):
  """Stops a diverged or collapsed run before it overwrites a good checkpoint.

  Raises `TrainingError` during training if losses are not finite or the rate collapsed.

  Attributes:
    taken: steps that this run has taken.
  """

  def __init__(self, checkpoints: Checkpoints):
    super().__init__()
    self._checkpoints = checkpoints
    self.taken = 0

  def on_train_batch_begin(self, batch, logs=None):
    if self.taken % _WINDOW == 0:
      self.model.reset_metrics()

  def on_train_batch_end(self, batch, logs=None):
    self.taken += 1
    self._check_finite({"loss": logs["loss"]})
    if self.taken % _WINDOW == 0 and logs["bpp"] < _COLLAPSED_BPP:
      raise TrainingError(
        f"step {self._checkpoints.step}: the rate collapsed to {logs['bpp']:.2g} bits per pixel: "
        f"raise --lambda, or lower --learning_rate; {self._checkpoints.kept}"
      )

  def on_epoch_end(self, epoch, logs=None):
    own = {f"val_{name}" for name in self.model.own_names}
    self._check_finite({name: value for name, value in logs.items() if name not in own})

  def _check_finite(self, logs):
    for name, value in logs.items():
      if not np.isfinite(value):
        raise self._checkpoints.diverged(f"{name} became {float(value)}")


class Record(tf.keras.callbacks.Callback):
  """Saves the run, with a row of metrics.csv, after each epoch, on all machines.

  Ctrl-C during the validation ends the run after the row is written, because no later run would
  write that row. A second Ctrl-C ends the run at once.
  """

  def __init__(self, checkpoints: Checkpoints):
    super().__init__()
    self._checkpoints = checkpoints
    self._start = time.time()
    self._is_validating = self._was_interrupted = False

  @contextlib.contextmanager
  def taking_interrupts(self) -> Iterator[None]:
    """In this context, Ctrl-C is handled as described above, unless a custom handler is set."""
    is_own = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if is_own or threading.current_thread() is not threading.main_thread():
      yield
      return
    signal.signal(signal.SIGINT, self._on_signal)
    try:
      yield
    finally:
      signal.signal(signal.SIGINT, signal.default_int_handler)

  def _on_signal(self, *_):
    if self._was_interrupted or not self._is_validating:
      raise KeyboardInterrupt
    self._was_interrupted = True
    logging.warning(
      "Interrupted: the validation of step %d comes to its end first; after another Ctrl-C its row "
      "is missing in metrics.csv.",
      self._checkpoints.step,
    )

  def on_test_begin(self, logs=None):
    self._is_validating = True

  def on_epoch_end(self, epoch, logs=None):
    row = {
      "step": self._checkpoints.step,
      "seconds": time.time() - self._start,
      "learning_rate": f"{self.model.learning_rate:.6g}",
    }
    self._checkpoints.save({**row, **{name: float(value) for name, value in logs.items()}})
    self._is_validating = False
    if self._was_interrupted:
      raise KeyboardInterrupt


class Board(tf.keras.callbacks.Callback):
  """Writes scalars and reconstructions for TensorBoard by step, first soon after the start."""

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
    tf.summary.scalar("learning_rate", self.model.learning_rate)

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
      if not np.isnan(ms_ssim):  # NaN if the crops are too small.
        tf.summary.scalar("ms_ssim", ms_ssim)
    self._writer.flush()
