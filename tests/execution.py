"""Ways in which TensorFlow runs functions."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

__all__ = ["eagerly"]


@contextlib.contextmanager
def eagerly(on: bool = True) -> Iterator[None]:
  """Runs functions operation by operation: tracing a training takes longer than its few steps.

  Args:
    on: False runs them as graphs.
  """
  before = tf.config.functions_run_eagerly()
  tf.config.run_functions_eagerly(on)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(before)
