"""What the command line programs share: a quick start, one-line errors, and quiet libraries.

A program imports this module first, so that TensorFlow is silent. Training imports TensorFlow next,
before `app.run`: from within it, TensorFlow 2.14 was seen to take more than twice as long for a
training step. Coding takes as long either way.
"""

import contextlib
import gc
import importlib.util
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

# TensorFlow's start-up notices would bury the one line that matters.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Importing it makes a million objects that stay, and the collector would go through them again and
# again; `one_line_errors` turns it on.
if "tensorflow" not in sys.modules:
  gc.disable()
# Pillow's warnings and logs precede what `images` reports, or are about what it accepts.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# Without its extra `gcp`, which few need, Beam says so whenever it is imported.
logging.getLogger().addFilter(lambda record: "apitools not found" not in str(record.msg))

__all__ = [
  "Terminated",
  "one_line_errors",
  "parse_known",
  "resting_collector",
  "sigterm_interrupts",
]

# A shell's exit statuses after SIGINT, SIGTERM, and writing to a reader that has gone.
_INTERRUPTED, _TERMINATED, _BROKEN_PIPE = 130, 143, 141
# Of TensorFlow's errors those about files, which `OSError` is not a base of.
_FILE_ERRORS = (
  "DataLossError",
  "FailedPreconditionError",
  "NotFoundError",
  "PermissionDeniedError",
  "ResourceExhaustedError",
)


def _open_standard_streams():
  """Replaces those that are closed, or the next file that is opened would get their numbers.

  What is printed then goes nowhere; but reading the one and writing the others fails, so that no
  photograph is lost to it.
  """
  for number, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDWR)):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, mode)  # Takes the lowest number that is free.
  for name in ("stdout", "stderr"):
    if getattr(sys, name) is None:
      setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))


_open_standard_streams()
# File names need not be UTF-8.
if hasattr(sys.stdout, "reconfigure"):
  sys.stdout.reconfigure(errors="backslashreplace")


def _hook(kind, error, trace, hook=sys.excepthook):
  """Prints one line for Ctrl-C while TensorFlow is being imported, or if it is not installed."""
  if issubclass(kind, KeyboardInterrupt):
    _say("interrupted")
  elif issubclass(kind, ImportError) and importlib.util.find_spec("tensorflow") is None:
    _say(
      "this program needs TensorFlow, which is not installed: it is for Python 3.9 to 3.11 on Linux"
      " with an x86-64 processor"
    )
  else:
    hook(kind, error, trace)


sys.excepthook = _hook


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
  """Turns an error that the user can mend into one line on stderr and exit status 1.

  These are `ValueError` (with `BitstreamError`, `ImageError` and `DataError`), `TrainingError`,
  `OSError` and TensorFlow's errors about files; anything else is a defect and keeps its traceback.
  Ctrl-C gives one line, too, and a shell's exit status for it. Nobody to read what is printed any
  more gives none.

  The garbage collector, which imports of TensorFlow had better do without, is on from here on, and
  leaves what they made alone.
  """
  if not gc.isenabled():
    _wake_collector()
  try:
    try:
      yield
    finally:
      sys.stdout.flush()
  except KeyboardInterrupt as error:
    _say("interrupted")
    sys.exit(_TERMINATED if isinstance(error, Terminated) else _INTERRUPTED)
  except BrokenPipeError as error:
    # What is left in the buffer would fail again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    if error.filename:
      _fail(error)
    sys.exit(_BROKEN_PIPE)
  except (ValueError, OSError) as error:
    _fail(error)
  except RuntimeError as error:
    if type(error).__name__ != "TrainingError":
      raise
    _fail(error)
  except Exception as error:
    if not _is_of_files(error):
      raise
    _fail(error)


class Terminated(KeyboardInterrupt):  # noqa: N818
  """SIGTERM, which ends a run as Ctrl-C does."""


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
  """Within it, SIGTERM raises `Terminated` in the main thread."""
  if threading.current_thread() is not threading.main_thread():  # Only that one has handlers.
    yield
    return
  before = signal.signal(signal.SIGTERM, _raise_terminated)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)


def _raise_terminated(number, frame):
  raise Terminated


@contextlib.contextmanager
def resting_collector() -> Iterator[None]:
  """Keeps the garbage collector off during imports; it leaves what they made alone afterwards."""
  gc.disable()
  try:
    yield
  finally:
    _wake_collector()


def _wake_collector():
  gc.freeze()
  gc.enable()


def parse_known(flags: Any, argv: list[str]) -> list[str]:
  """Parses the flags that a program knows, and returns the other arguments, which are for Beam.

  A wrong value costs a line and exit status 1. absl's own parser, which would print one too, takes
  no arguments that it does not know.

  Args:
    flags: absl's `FLAGS`.
    argv: the command line.
  """
  try:
    return flags(argv, known_only=True)
  except Exception as error:  # absl's, of a flag, or a validator's.
    _fail(error)


def _is_of_files(error):
  # If it is one of TensorFlow's, that is imported already.
  errors = getattr(sys.modules.get("tensorflow"), "errors", None)
  return bool(errors) and isinstance(error, tuple(getattr(errors, name) for name in _FILE_ERRORS))


def _fail(error):
  _say(f"error: {' '.join(str(error).split())}")
  sys.exit(1)


def _say(line):
  with contextlib.suppress(OSError):  # Nobody listens.
    print(line, file=sys.stderr)
