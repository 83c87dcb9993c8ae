"""Start-up of the programs: quick imports, one-line errors, and quiet libraries.

A program imports this module first, so that TensorFlow is silent. Training imports TensorFlow next,
before `app.run`: TensorFlow 2.14, imported within `app.run`, took more than twice as long per
training step. The time of coding is the same either way.
"""

import contextlib
import gc
import importlib.util
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Callable

# TensorFlow's start-up notices would hide the program's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Importing TensorFlow creates a million permanent objects, which the garbage collector would scan
# again and again; `one_line_errors` turns it on.
if "tensorflow" not in sys.modules:
  gc.disable()
# Pillow's warnings and logs repeat errors that `images` reports, or concern files that it accepts.
warnings.filterwarnings("ignore", module="PIL")
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# Without its extra `gcp`, which few need, Beam logs a message whenever it is imported.
logging.getLogger().addFilter(lambda record: "apitools not found" not in str(record.msg))

__all__ = [
  "FAILED",
  "NOTHING_DONE",
  "Terminated",
  "one_line_errors",
  "resting_collector",
  "run",
  "sigterm_interrupts",
]

# Exit statuses: files failed, or the program did; nothing at all was done for a folder.
FAILED, NOTHING_DONE = 1, 2
# A shell's exit statuses after SIGINT, SIGTERM, and writing to a closed pipe.
_INTERRUPTED, _TERMINATED, _BROKEN_PIPE = 130, 143, 141
# TensorFlow's errors about files; they do not derive from `OSError`.
_FILE_ERRORS = (
  "DataLossError",
  "FailedPreconditionError",
  "NotFoundError",
  "PermissionDeniedError",
  "ResourceExhaustedError",
)


def _open_standard_streams():
  """Replaces closed streams; otherwise the next file that is opened would get their numbers.

  Printed lines are then discarded; but reading standard input and writing results to the other
  streams fails, so that no photograph is lost.
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
  """Prints one line for Ctrl-C during the import of TensorFlow, or if it is not installed."""
  if issubclass(kind, KeyboardInterrupt):
    _say("interrupted")
  elif issubclass(kind, ImportError) and importlib.util.find_spec("tensorflow") is None:
    _say(
      "error: this program needs TensorFlow, which is not installed: it is for Python 3.9 to 3.11"
      " on Linux with an x86-64 processor"
    )
  else:
    hook(kind, error, trace)


sys.excepthook = _hook


@contextlib.contextmanager
def one_line_errors(status: int = FAILED) -> Iterator[None]:
  """Turns an error that the user can correct into one line on stderr and an exit status.

  These are `ValueError` (with `BitstreamError`, `ImageError` and `DataError`), `TrainingError`,
  `OSError` and TensorFlow's errors about files; any other error is a defect and keeps its
  traceback. Ctrl-C also prints one line, and exits with the status that shells use for it. If
  standard output is closed, the program exits silently.

  The garbage collector, which slows the import of TensorFlow, is turned on here; it ignores all
  objects that exist already.

  Args:
    status: the exit status after an error that the user can correct.
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
    # The rest of the buffer would fail again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    if error.filename:
      _fail(error, status)
    sys.exit(_BROKEN_PIPE)
  except (ValueError, OSError) as error:
    _fail(error, status)
  except RuntimeError as error:
    if type(error).__name__ != "TrainingError":
      raise
    _fail(error, status)
  except Exception as error:
    if not _is_of_files(error):
      raise
    _fail(error, status)


class Terminated(KeyboardInterrupt):  # noqa: N818
  """SIGTERM, which ends a run as Ctrl-C does."""


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
  """In this context, SIGTERM raises `Terminated` in the main thread."""
  if threading.current_thread() is not threading.main_thread():  # Others cannot set handlers.
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
  """Keeps the garbage collector off during imports; later it ignores the imported objects."""
  gc.disable()
  try:
    yield
  finally:
    _wake_collector()


def _wake_collector():
  gc.freeze()
  gc.enable()


def run(
  main: Callable[[list[str]], None],
  known_only: bool = False,
  status_of: Callable[[list[str]], int] = lambda argv: FAILED,
) -> None:
  """Parses the command line with absl, calls a program's `main`, and exits.

  A wrong value, an unknown flag or a wrong argument prints one line; absl would print two, or the
  whole help.

  Args:
    main: receives the name of the program, and the arguments that are not its flags.
    known_only: whether `main` also receives unknown flags, such as those for Beam.
    status_of: command line -> exit status if it is wrong.
  """
  from absl import app, flags  # Other modules need only the errors.

  def parse(argv):
    try:
      return flags.FLAGS(argv, known_only=known_only)
    except Exception as error:  # From a flag of absl, or from a validator.
      _fail("; ".join(map(_in_words, str(error).splitlines())), status_of(argv))

  def call(argv):
    try:
      main(argv)
    except app.UsageError as error:
      _fail(error, status_of(sys.argv))

  app.run(call, flags_parser=parse)


def _in_words(line):
  """A line of absl's parser, without Python's words for values."""
  line = re.sub(
    r"^(flag --\w+=)\['(.*?)'\]", lambda found: found[1] + found[2].replace("', '", ","), line
  )
  line = re.sub(r"^flag --(\w+)=None: Flag .* other than None\.$", r"give --\1", line)
  line = re.sub(r": invalid literal for int\(\) .*$", ": give a whole number", line)
  return re.sub(r": could not convert string to float: .*$", ": give a number", line)


def _is_of_files(error):
  # If the error is TensorFlow's, TensorFlow is imported already.
  errors = getattr(sys.modules.get("tensorflow"), "errors", None)
  return bool(errors) and isinstance(error, tuple(getattr(errors, name) for name in _FILE_ERRORS))


def _fail(error, status=FAILED):
  text = str(error)
  if isinstance(error, OSError) and error.filename:
    text = f"{error.filename}: {error.strerror}"
  _say(f"error: {' '.join(text.split())}")
  sys.exit(status)


def _say(line):
  with contextlib.suppress(OSError):  # Stderr is closed.
    print(line, file=sys.stderr)
