"""The files of a run: written at each save, read when it resumes."""

import pathlib
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from absl import logging

from bmshj_minnen.coding.freezing import NotFiniteError
from bmshj_minnen.model_files import snapshots
from bmshj_minnen.training import distribution, failures
from bmshj_minnen.training.metrics_table import MetricsTable

__all__ = ["Checkpoints"]

_KEPT = 2  # Should the newest be damaged, there is the one before.


class Checkpoints:
  """Weights and optimizer state, and beside them the files that a codec is made from.

  All that is saved is finite, and so is all that a run resumes from.
  """

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
    self._table = MetricsTable(directory / "metrics.csv")
    self._checkpoint = tf.train.Checkpoint(model=trainer.model, optimizer=trainer.optimizer)
    # Made now, by all machines: a variable that one alone made later would wait for the others.
    self._checkpoint.save_counter  # noqa: B018
    self._last_good = ""
    self._open()

  def _open(self):
    self._manager = tf.train.CheckpointManager(
      self._checkpoint, str(self.directory / "checkpoints"), max_to_keep=_KEPT
    )

  @property
  def step(self) -> int:
    """How many steps the weights have taken."""
    return int(self._trainer.optimizer.iterations.numpy())

  def restore(self) -> int:
    """Goes back to the newest checkpoint that is whole and finite.

    Returns:
      Its step; 0 if there is none.

    Raises:
      ValueError: the checkpoint has other variables than the trainer, or none is whole and finite.
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
    """Restores a checkpoint; says what is wrong with it."""
    try:
      self._restore(path)
    except (IndexError, tf.errors.OpError) as error:  # What truncated files give.
      logging.warning("%s is damaged: %s", path, " ".join(str(error).split()))
      return False
    problem = self._problem()
    if problem:
      logging.warning("%s is no good: %s.", path, problem)
    return not problem

  def _restore(self, path):
    status = None
    try:
      status = self._checkpoint.restore(path)
      status.assert_consumed()
    except (AssertionError, ValueError) as error:
      if status is not None:
        status.expect_partial()  # Or TensorFlow, too, lists at its end what did not fit.
      # Of a model with the same configuration only the optimizer can have others.
      raise ValueError(
        f"{self.directory} was trained with another --schedule, --average or "
        "--precision_policy: give the same, or another --model_dir"
      ) from error

  def _forget_first(self, others, good):
    """Makes the manager remove all others before the good one; it goes by the order in its file."""
    if self._manager.checkpoints[-1] == good or not self._is_chief:
      return
    paths = [*others, good]
    tf.compat.v1.train.update_checkpoint_state(
      self._manager.directory,
      good,
      all_model_checkpoint_paths=paths,
      # Any will do, but without them the manager takes no notice of these paths.
      all_model_checkpoint_timestamps=[float(i + 1) for i in range(len(paths))],
    )
    self._open()

  @property
  def _is_chief(self):
    return distribution.is_chief(self._trainer.distribute_strategy)

  def check_codec(self) -> None:
    """Refuses before the first step a model that could not be saved.

    Raises:
      TrainingError: weights, or activations that they cause, are not finite.
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
    """Writes a row of metrics.csv, if it is given, a checkpoint and the model, in this order.

    Interrupted anywhere, what was saved before stays whole. Of several machines all must call this,
    for all find what is not finite, but only the chief writes.

    Raises:
      TrainingError: weights, or activations that they cause, are not finite; nothing was written.
      ValueError: see `snapshots.take`; nothing was written.
      OSError: it cannot be written, as on a full disk.
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
    """Where the last good checkpoint is, in words."""
    if not self._last_good:
      return "no checkpoint was saved before"
    return f"the last good checkpoint is {self._last_good}"

  def diverged(self, problem: str) -> failures.TrainingError:
    """The error of a run that has lost its way; names the step and the checkpoint that is kept."""
    remedy = "lower --learning_rate or --clip_norm"
    if not self._trainer.train_config.clip_norm:
      remedy = "lower --learning_rate, or bound the gradients, as with --clip_norm=1"
    return failures.TrainingError(f"step {self.step}: {problem}: {remedy}; {self.kept}")

  def _problem(self):
    """Names a variable, or else the loss, that is not finite; None if all are finite."""
    for variable in self._trainer.saved_variables:
      if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
        return f"the weights are not finite ({variable.name})"
    with self._trainer.averaged():
      loss = float(self._trainer.validate(self._typical_images).loss)
    return None if np.isfinite(loss) else f"the loss is {loss}"
