"""Training on several devices and machines: what a run must know of `tf.distribute`.

Replicas are devices that share a batch. Machines (workers) find each other through the environment
variable TF_CONFIG; all write and read one model directory, on a file system that they share.
"""

import contextlib
import json
import os
from collections.abc import Iterator

import tensorflow as tf

from bmshj_minnen import config as cfg

__all__ = ["WorkerLostError", "check_batch", "is_chief", "lost_workers", "make_strategy"]

# What the workers that are left get when one dies.
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
  """Tells the loss of a machine from other errors.

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

  Raises:
    ValueError: TF_CONFIG does not describe a cluster.
  """
  if config.strategy == "mirrored":
    return tf.distribute.MirroredStrategy()
  if config.strategy == "multi_worker":
    _check_cluster(os.environ.get("TF_CONFIG", ""))
    return tf.distribute.MultiWorkerMirroredStrategy()
  return tf.distribute.get_strategy()


def _check_cluster(text):
  try:
    description = json.loads(text)
    workers = description["cluster"]["worker"]
    index = description["task"]["index"]
    complete = bool(workers[index])
  except (ValueError, KeyError, TypeError, IndexError):
    complete = False
  if not complete:
    raise ValueError(
      "--strategy=multi_worker needs the machines and which one this is, such as "
      """TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]}, """
      """"task": {"type": "worker", "index": 0}}'"""
    )


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
  cluster = resolver.cluster_spec().as_dict()
  first = "chief" if "chief" in cluster else "worker"
  return resolver.task_type == first and resolver.task_id == 0
