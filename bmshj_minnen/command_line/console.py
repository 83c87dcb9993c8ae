"""Lines and progress of a run over many files."""

import contextlib
import sys
import threading
import time

import tqdm

__all__ = ["Console"]

_PATIENCE = 2.0  # Seconds before progress is shown.
_LINE_EVERY = 60.0  # Seconds between lines of progress without a terminal.
_FIRST_LINE = 5.0  # Seconds before the first of them, an estimate from the first files.
_BAR = "{l_bar}{bar}| {n:.1f}/{total} files [{elapsed}<{remaining}]"


class Console:
  """A bar of progress and the lines around it; a context that ends the bar.

  Progress is a bar on a terminal, else a line on stderr after the first files, with an estimate,
  and each minute. Errors of a closed output are ignored. May be used by several threads.

  Args:
    files: number of files.
  """

  def __init__(self, files: int):
    # disable=None: shown on a terminal only.
    self._bar = tqdm.tqdm(total=files, leave=False, disable=None, delay=_PATIENCE, bar_format=_BAR)
    self._files = files
    self._start = self._line_at = time.monotonic()
    self._lines = 0
    self._lock = threading.Lock()

  def __enter__(self) -> "Console":
    return self

  def __exit__(self, *_):
    self._bar.close()

  def note(self, line: str) -> None:
    """Prints a note on stderr."""
    self.print_line(f"note: {line}", to_stderr=True)

  def error(self, line: str) -> None:
    """Prints an error on stderr."""
    self.print_line(f"error: {line}", to_stderr=True)

  def print_line(self, line: str, to_stderr: bool = False) -> None:
    """Prints a line above the bar, on stdout or stderr."""
    with contextlib.suppress(OSError):  # Output is closed; keep converting.
      self._bar.write(_in_one(line), file=sys.stderr if to_stderr else sys.stdout)

  def advance(self, files: float) -> None:
    """Moves the bar by a number of files, or by a part of a file."""
    with self._lock, contextlib.suppress(OSError):
      self._bar.update(files)

  def show_progress(self, done: int) -> None:
    """Prints a line if one is due and the bar is not shown; `done`: number of files tried."""
    now = time.monotonic()
    due = _LINE_EVERY if self._lines else min(_FIRST_LINE, _LINE_EVERY)
    if self._bar.disable and 0 < done < self._files and now - self._line_at >= due:
      self._line_at = now
      self._lines += 1
      each = (now - self._start) / done
      left = tqdm.tqdm.format_interval(each * (self._files - done))
      line = f"{done} of {self._files} files, {each:.3g} s each, {left} left"
      self.print_line(line, to_stderr=True)


def _in_one(line):
  """One line, also for names of files with line breaks."""
  return line.replace("\r", "\\r").replace("\n", "\\n")
