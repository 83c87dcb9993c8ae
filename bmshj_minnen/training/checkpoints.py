"""Files of a run, which are written at each save and read when the run resumes."""

import pathlib
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from absl import logging

from bmshj_minnen.coding.freezing import NotFiniteError
from bmshj_minnen.model_files import snapshots
from bmshj_minnen.training import distribution, failures, metrics_table

__all__ = ["Checkpoints"]

_KEPT = 2  # If the newest checkpoint is damaged, the one before is used.


class Checkpoints:
  """Weights and optimizer state, and beside them the files of the codec.

  A run saves, and resumes from, only finite values.
  """

  def __init__(self, trainer: tf.keras.Model, directory: pathlib.Path, typical_images: tf.Tensor):
    """Must be called on all machines.

    Args:
      trainer: a compiled `Trainer` with all variables created, including the optimizer's.
      directory: the model directory; created if it is missing.
      typical_images: [B, H, W, 3] in 0..255; they determine the ranges of the integer networks, see
        `freeze`.
    """
    self._trainer = trainer
    self.directory = directory
    self._typical_images = typical_images
    self._table = metrics_table.MetricsTable(directory / metrics_table.NAME)
    self._checkpoint = tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer)
    # Created now, on all machines: creating a variable on only one machine would wait for the rest.
    self._checkpoint.save_counter  # noqa: B018
    self._last_good = ""
    self._open()

  def _open(self):
    self._manager = tf.train.CheckpointManager(
      self._checkpoint, str(self.directory / "checkpoints"), max_to_keep=_KEPT
    )

  @property
  def step(self) -> int:
    """Number of steps that the weights have taken."""
    return int(self._trainer.optimizer.iterations.numpy())

  def restore(self) -> int:
    """Restores the newest checkpoint that is intact and finite.

    Returns:
      The step of the checkpoint; 0 without checkpoints.

    Raises:
      ValueError: the variables of checkpoint and trainer differ, or no checkpoint is intact and
        finite.
    """
    paths = self._manager.checkpoints[::-1]
    path = next(filter(self._is_good, paths), None)
    if path:
      logging.info("Resuming from %s.", path)
      self._last_good = path
      self._forget_first([other for other in paths[::-1] if other != path], path)
    elif paths:
      raise ValueError(
        f"{self.directory}: no checkpoint is whole and finite; to start again from its weights, "
        f"give --init_from={self.directory} and another --model_dir"
      )
    self._table.resume(self.step)
    return self.step

  def _is_good(self, path):
    """Restores a checkpoint; returns whether it is intact and finite, and logs why not."""
    try:
      self._restore(path)
    except (IndexError, tf.errors.OpError) as error:  # Raised for truncated files.
      logging.warning("%s is damaged: %s", path, " ".join(str(error).split()))
      return False
    problem = self._problem()
    if problem:
      logging.warning("%s is not usable: %s.", path, problem)
    return not problem

  def _restore(self, path):
    status = None
    try:
      status = self._checkpoint.restore(path)
      status.assert_consumed()
    except (AssertionError, ValueError) as error:
      if status is not None:
        status.expect_partial()  # Otherwise TensorFlow also lists the variables at its end.
      # For a model with the same config, only variables of the optimizer can differ.
      raise ValueError(
        f"{self.directory} was trained with another --schedule, --warmup, --average or "
        "--precision_policy: give the same, or another --model_dir"
      ) from error

  def _forget_first(self, others, good):
    """Makes the manager remove all others before the good one, by reordering its state file."""
    if self._manager.checkpoints[-1] == good or not self._is_chief:
      return
    paths = [*others, good]
    tf.compat.v1.train.update_checkpoint_state(
      self._manager.directory,
      good,
      all_model_checkpoint_paths=paths,
      # Any times will do, but without them the manager ignores these paths.
      all_model_checkpoint_timestamps=[float(i + 1) for i in range(len(paths))],
    )
    self._open()

  @property
  def _is_chief(self):
    return distribution.is_chief(self._trainer.distribute_strategy)

  def check_codec(self) -> None:
    """Refuses, before the first step, a model that could not be saved.

    Raises:
      TrainingError: weights or activations are not finite.
      ValueError: see `snapshots.take`.
    """
    self._snapshot()

  def _snapshot(self):
    try:
      with self._trainer.averaged():
        return snapshots.take(self._trainer.model, self._typical_images)
    except NotFiniteError as error:
      raise self.diverged(str(error)) from error

  def save(self, row: Optional[dict[str, Any]] = None) -> None:
    """Writes a row of metrics.csv (if given), a checkpoint and the model, in this order.

    An interruption at any point leaves the previous save intact. All machines must call this
    method, because all check for values that are not finite; only the chief writes.

    Raises:
      TrainingError: weights or activations are not finite; nothing is written.
      ValueError: see `snapshots.take`; nothing is written.
      OSError: a file cannot be written, for example on a full disk.
    """
    problem = self._problem()
    if problem:
      raise self.diverged(problem)
    snapshot = self._snapshot()
    if self._is_chief:
      self._table.update(self.step, row)
      self._write_checkpoint()
      snapshot.write(self.directory)
    self._last_good = str(self.directory / "checkpoints" / f"ckpt-{self.step}")

  def _write_checkpoint(self):
    try:
      self._manager.save(checkpoint_number=self.step)
    except tf.errors.OpError as error:
      raise OSError(
        f"{self.directory}: the checkpoint of step {self.step} cannot be written: "
        f"{failures.reason(error)}; {self.kept}"
      ) from error

  @property
  def kept(self) -> str:
    """Path of the last good checkpoint, as a clause for messages."""
    if not self._last_good:
      return "no checkpoint was saved before"
    return f"the last good checkpoint is {self._last_good}"

  def diverged(self, problem: str) -> failures.TrainingError:
    """The error of a diverged run, with the step, a remedy and the checkpoint that is kept."""
    remedy = "lower --learning_rate or --clip_norm"
    if not self._trainer.train_config.clip_norm:
      remedy = "lower --learning_rate, or bound the gradients, as with --clip_norm=1"
    return failures.TrainingError(f"step {self.step}: {problem}: {remedy}; {self.kept}")

  def _problem(self):
    """Names a variable that is not finite, or the loss; None if all are finite."""
    for variable in self._trainer.saved_variables:
      if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
        return f"the weights are not finite ({variable.name})"
    with self._trainer.averaged():
      loss = float(self._trainer.validation_losses(self._typical_images).loss)
    return None if np.isfinite(loss) else f"the loss is {loss}"
