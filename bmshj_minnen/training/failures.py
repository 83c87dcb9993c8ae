"""Errors that end a training early; their messages are one line with a remedy."""

import contextlib
import errno
import os
import pathlib
import resource
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["TrainingError", "named_shortages", "reason", "refuse_too_large_a_batch"]

_FULL = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class TrainingError(RuntimeError):
  """Training cannot continue; the message names a remedy."""


def reason(error: tf.errors.OpError) -> str:
  """The cause at the end of TensorFlow's message, such as `No space left on device`."""
  return " ".join(str(error.message).split()).partition(" [Op:")[0].rpartition("; ")[2]


@contextlib.contextmanager
def named_shortages(config: TrainConfig) -> Iterator[None]:
  """Replaces TensorFlow's errors for a full disk, or for too little memory, by clear ones.

  Raises:
    TrainingError: the memory is too small; the message names the settings to change.
    OSError: the disk is full.
  """
  try:
    yield
  except (MemoryError, tf.errors.ResourceExhaustedError) as error:
    full = next((words for words in _FULL if words in str(error)), None)
    if full:
      raise OSError(f"{config.model_dir} cannot be written to: {full}") from error
    raise _too_little_memory(config) from error


def _too_little_memory(config):
  return TrainingError(
    f"too little memory for steps of {config.batch} crops of {config.crop}x{config.crop}: "
    "lower --batch or --crop"
  )


def refuse_too_large_a_batch(model_config: cfg.ModelConfig, config: TrainConfig) -> None:
  """Refuses impossible settings, before native code runs out of memory and ends the process.

  The estimate is a lower bound, several times below the real need. It counts crops,
  reconstructions, and the arrays that the three hidden layers of g_s keep for the gradient: the
  outputs of each convolution and of each inverse GDN, at a half, a quarter and an eighth of the
  side. The memory of other devices is not known.

  Raises:
    TrainingError: the estimate exceeds the memory.
  """
  on_cpu = config.strategy == "default" and not tf.config.list_physical_devices("GPU")
  kept = 2 * model_config.num_filters * (1 / 4 + 1 / 16 + 1 / 64)
  floats = config.batch * config.crop**2 * (2 * 3 + kept)
  # Three bytes: outputs of convolutions may have 16 bits.
  if on_cpu and model_config.networks == cfg.PAPERS_NETWORKS and 3 * floats > _memory():
    raise _too_little_memory(config)


def _memory():
  """Maximum number of bytes for this process."""
  limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
  address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
  if address_space != resource.RLIM_INFINITY:
    limits.append(address_space)
  for name in ("memory.max", "memory/memory.limit_in_bytes"):  # Limits of a container.
    with contextlib.suppress(OSError, ValueError):
      limits.append(int(pathlib.Path("/sys/fs/cgroup", name).read_text()))
  return min(limits)
