"""Training on several devices and machines: what a run must know of `tf.distribute`.

Replicas are devices that share a batch. Machines (workers) find each other through the environment
variable TF_CONFIG; all write and read one model directory, on a file system that they share.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.training import cluster

__all__ = ["WorkerLostError", "check_batch", "is_chief", "lost_workers", "make_strategy"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# The errors of the workers that are left when one dies.
_LOST_WORKER = (
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
  tf.errors.UnavailableError,
)


class WorkerLostError(RuntimeError):
  """Another machine is gone, and with it the group: every machine has to start again."""


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
  """Distinguishes the loss of a machine from other errors.

  Raises:
    WorkerLostError: in place of what TensorFlow raises then.
  """
  try:
    yield
  except _LOST_WORKER as error:
    if not os.environ.get("TF_CONFIG"):
      raise
    raise WorkerLostError(error.message.splitlines()[0]) from error


def make_strategy(config: cfg.TrainConfig) -> tf.distribute.Strategy:
  """The strategy of a run; must come before anything else that TensorFlow does.

  That of several machines waits for all of them.

  Raises:
    ValueError: TF_CONFIG does not describe a cluster, or a host cannot be resolved.
    OSError: the port of this machine is taken.
    WorkerLostError: a machine was there and is gone.
  """
  if config.strategy == "mirrored":
    return tf.distribute.MirroredStrategy()
  if config.strategy == "multi_worker":
    cluster.Cluster.parse(os.environ.get("TF_CONFIG", "")).wait()
    with lost_workers(), _signals_that_end():
      return tf.distribute.MultiWorkerMirroredStrategy()
  return tf.distribute.get_strategy()


@contextlib.contextmanager
def _signals_that_end():
  """Ctrl-C and SIGTERM end the process at once, for native code takes no KeyboardInterrupt."""
  if threading.current_thread() is not threading.main_thread():  # Signals are the main thread's.
    yield
    return
  before = [(number, signal.signal(number, signal.SIG_DFL)) for number in _SIGNALS]
  try:
    yield
  finally:
    for number, handler in before:
      signal.signal(number, handler)


def check_batch(strategy: tf.distribute.Strategy, batch: int) -> None:
  """A batch must divide among the replicas.

  Raises:
    ValueError: it does not.
  """
  replicas = strategy.num_replicas_in_sync
  if batch % replicas:
    raise ValueError(f"a batch of {batch} cannot be divided among {replicas} devices")


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process writes the files of the run."""
  resolver = strategy.cluster_resolver
  if resolver is None or resolver.task_type is None:
    return True
  first = "chief" if "chief" in resolver.cluster_spec().as_dict() else "worker"
  return resolver.task_type == first and resolver.task_id == 0
