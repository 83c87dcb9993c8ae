"""How a training ends early: errors whose one line says what to change."""

import contextlib
import errno
import os
import pathlib
import resource
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen import config as cfg

__all__ = ["TrainingError", "named_shortages", "reason", "refuse_too_large_a_batch"]

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
    raise _too_little_memory(config) from error


def _too_little_memory(config):
  return TrainingError(
    f"too little memory for steps of {config.batch} crops of {config.crop}x{config.crop}: "
    "lower --batch or --crop"
  )


def refuse_too_large_a_batch(model_config: cfg.ModelConfig, config: cfg.TrainConfig) -> None:
  """Refuses what cannot be, before native code fails to get its memory and ends the process.

  A step needs several times what is counted here: crops and reconstructions, and what the three
  hidden layers of g_s keep for the gradient, the output of each convolution and of each inverse
  GDN, at a half, a quarter and an eighth of the side. Memory of other devices is not known.

  Raises:
    TrainingError: even so much is more than there is.
  """
  on_cpu = config.strategy == "default" and not tf.config.list_physical_devices("GPU")
  kept = 2 * model_config.num_filters * (1 / 4 + 1 / 16 + 1 / 64)
  floats = config.batch * config.crop**2 * (2 * 3 + kept)
  # Three bytes: outputs of convolutions may have 16 bits.
  if on_cpu and model_config.networks == cfg.PAPERS_NETWORKS and 3 * floats > _memory():
    raise _too_little_memory(config)


def _memory():
  """Bytes that this process may have at most."""
  limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
  address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
  if address_space != resource.RLIM_INFINITY:
    limits.append(address_space)
  for name in ("memory.max", "memory/memory.limit_in_bytes"):  # Of a container.
    with contextlib.suppress(OSError, ValueError):
      limits.append(int(pathlib.Path("/sys/fs/cgroup", name).read_text()))
  return min(limits)
