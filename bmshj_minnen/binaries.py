"""What the command line programs share: one-line errors, and quiet libraries.

A program imports this module first and TensorFlow next, before `app.run`: imported from within
`app.run`, TensorFlow 2.14 was seen to take more than twice as long for a training step.
"""

import contextlib
import logging
import os
import sys
import warnings

# TensorFlow's start-up notices would bury the one line that matters.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Pillow's warnings and logs precede what `images` reports, or are about what it accepts.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# Without its extra `gcp`, which few need, Beam says so whenever it is imported.
logging.getLogger().addFilter(lambda record: "apitools not found" not in str(record.msg))

__all__ = ["one_line_errors"]

_INTERRUPTED = 130  # As of a shell.


@contextlib.contextmanager
def one_line_errors():
  """Turns an error that the user can mend into one line on stderr and exit status 1.

  These are `ValueError` (with `BitstreamError`, `ImageError` and `DataError`), `TrainingError`
  and `OSError`; anything else is a defect and keeps its traceback. Ctrl-C gives one line, too, and
  a shell's exit status for it.
  """
  try:
    yield
  except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    sys.exit(_INTERRUPTED)
  except (ValueError, OSError) as error:
    _fail(error)
  except RuntimeError as error:
    if type(error).__name__ != "TrainingError":
      raise
    _fail(error)


def _fail(error):
  print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
  sys.exit(1)
