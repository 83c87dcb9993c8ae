"""Training on several devices and machines with `tf.distribute`.

Replicas are devices that share a batch. Machines (workers) find each other through the environment
variable TF_CONFIG; all write and read the same model directory, on a shared file system.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen.training import cluster
from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["WorkerLostError", "check_batch", "is_chief", "lost_workers", "make_strategy"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Errors in the remaining workers when one worker dies.
_LOST_WORKER = (
  tf.errors.AbortedError,
  tf.errors.CancelledError,
  tf.errors.DeadlineExceededError,
  tf.errors.FailedPreconditionError,
  tf.errors.InternalError,
  tf.errors.UnavailableError,
)


class WorkerLostError(RuntimeError):
  """Another machine of the cluster is lost; all machines must be started again."""


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
  """Distinguishes the loss of a machine from other errors.

  Raises:
    WorkerLostError: in place of TensorFlow's errors for a lost machine.
  """
  try:
    yield
  except _LOST_WORKER as error:
    if not os.environ.get("TF_CONFIG"):
      raise
    raise WorkerLostError(error.message.splitlines()[0]) from error


def make_strategy(config: TrainConfig) -> tf.distribute.Strategy:
  """The strategy of a run; must be called before any other use of TensorFlow.

  With several machines it waits until all are present.

  Raises:
    ValueError: TF_CONFIG does not describe a cluster, or a host cannot be resolved.
    OSError: the port of this machine is taken.
    WorkerLostError: a machine was present and is lost.
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
  """Ctrl-C and SIGTERM end the process at once; native code would ignore a KeyboardInterrupt."""
  if threading.current_thread() is not threading.main_thread():  # Others cannot set handlers.
    yield
    return
  before = [(number, signal.signal(number, signal.SIG_DFL)) for number in _SIGNALS]
  try:
    yield
  finally:
    for number, handler in before:
      signal.signal(number, handler)


def check_batch(strategy: tf.distribute.Strategy, batch: int) -> None:
  """Checks that a batch can be divided equally among the replicas.

  Raises:
    ValueError: `batch` is not a multiple of the number of replicas.
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
