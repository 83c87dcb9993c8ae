"""How a training ends early: errors whose one line says what to change."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen import config as cfg

__all__ = ["TrainingError", "enough_memory", "reason"]

_NO_SPACE = "No space left"  # As systems say it; TensorFlow has one error for disks and memory.


class TrainingError(RuntimeError):
  """Training cannot go on; the message says what to change."""


def reason(error: tf.errors.OpError) -> str:
  """The cause at the end of a message of TensorFlow, such as `No space left on device`."""
  return " ".join(str(error.message).split()).partition(" [Op:")[0].rpartition("; ")[2]


@contextlib.contextmanager
def enough_memory(config: cfg.TrainConfig) -> Iterator[None]:
  """Names the settings that need the memory, where there is too little.

  Raises:
    TrainingError: in place of what TensorFlow, NumPy and Python raise then.
  """
  try:
    yield
  except (MemoryError, tf.errors.ResourceExhaustedError) as error:
    if _NO_SPACE in str(error):
      raise
    raise TrainingError(
      f"too little memory for steps of {config.batch} crops of {config.crop}x{config.crop}: "
      "lower --batch or --crop"
    ) from error
