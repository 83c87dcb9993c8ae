"""Ways in which TensorFlow runs functions."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["eagerly"]


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
  """Runs functions operation by operation: tracing a training takes longer than its few steps."""
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(False)
