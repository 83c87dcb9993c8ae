"""Keras's precision policy, which layers take when they are made."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["precision_policy"]

_POLICY = threading.RLock()  # Keras has one policy for all threads.


@contextlib.contextmanager
def precision_policy(name: str) -> Iterator[None]:
  """Within this context new models have this Keras policy, one of `train_config.PRECISIONS`."""
  with _POLICY:
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
      yield
    finally:
      tf.keras.mixed_precision.set_global_policy(before)
