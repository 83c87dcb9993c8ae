"""Refuses to use TensorFlow after a fork, where its operations would wait for ever."""

import os

from tensorflow.python.eager import context

__all__ = ["refuse_forked"]

_forked_in_use = False


def refuse_forked() -> None:
  """Raises RuntimeError in a process that was forked from one that had used TensorFlow.

  A fork before the first operation is harmless.
  """
  if _forked_in_use:
    raise RuntimeError(
      "this process was forked from one that had used TensorFlow, and would hang: start workers "
      'with spawn, as multiprocessing.get_context("spawn") does'
    )


def _note():
  global _forked_in_use
  # TensorFlow's threads, which a fork loses, start with its context. No public API reports that.
  used = context._context is not None and context._context._initialized
  _forked_in_use = _forked_in_use or used


os.register_at_fork(after_in_child=_note)
