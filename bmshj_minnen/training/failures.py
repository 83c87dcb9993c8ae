"""How a training ends early: errors whose one line says what to change."""

import contextlib
import errno
import os
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen import config as cfg

__all__ = ["TrainingError", "named_shortages", "reason"]

_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class TrainingError(RuntimeError):
  """Training cannot go on; the message says what to change."""


def reason(error: tf.errors.OpError) -> str:
  """The cause at the end of a message of TensorFlow, such as `No space left on device`."""
  return " ".join(str(error.message).split()).partition(" [Op:")[0].rpartition("; ")[2]


@contextlib.contextmanager
def named_shortages(config: cfg.TrainConfig) -> Iterator[None]:
  """Says in plain words where a disk is full, or which settings need more memory than there is.

  Raises:
    TrainingError: there is too little memory.
    OSError: there is too little space on the disk.
  """
  try:
    yield
  except (MemoryError, tf.errors.ResourceExhaustedError) as error:
    full = next((words for words in _FULL if words in str(error)), None)
    if full:
      raise OSError(f"{config.model_dir} cannot be written to: {full}") from error
    raise TrainingError(
      f"too little memory for steps of {config.batch} crops of {config.crop}x{config.crop}: "
      "lower --batch or --crop"
    ) from error
