"""What the command line programs share: one-line errors.

A program imports this module first and TensorFlow next, before `app.run`: imported from within
`app.run`, TensorFlow 2.14 was seen to take more than twice as long for a training step.
"""

import contextlib
import os
import sys

# TensorFlow's start-up notices would bury the one line that matters.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["one_line_errors"]


@contextlib.contextmanager
def one_line_errors():
  """Turns an error that the user can mend into one line on stderr and exit status 1.

  These are `ValueError` (with `BitstreamError`, `ImageError` and `DataError`), `TrainingError`
  and `OSError`; anything else is a defect and keeps its traceback.
  """
  try:
    yield
  except (ValueError, OSError) as error:
    _fail(error)
  except RuntimeError as error:
    if type(error).__name__ != "TrainingError":
      raise
    _fail(error)


def _fail(error):
  print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
  sys.exit(1)
