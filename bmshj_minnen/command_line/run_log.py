"""A log of a run that programs can read: a line of JSON for each file."""

import contextlib
import json
import threading
from typing import Any, Optional

from bmshj_minnen.command_line import files

__all__ = ["RunLog"]


class RunLog:
  """Writes a line as soon as a file is done; may be used by several threads.

  Each line has `source`, `ok` and the known facts about the file, and `error` if it failed.

  Args:
    path: path of the log, which replaces any existing file; None: nothing is written.

  Raises:
    OSError: the log cannot be created.
    ValueError: an existing file is not a log.
  """

  def __init__(self, path: Optional[str] = None):
    self._file, self._path = None, path
    if path is not None:
      files.refuse_other("log", path, _is_log)
      self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115
    self._lock = threading.Lock()

  def add(self, source: str, ok: bool, **facts: Any) -> None:
    """Adds a line about one file."""
    if self._file is not None:
      line = json.dumps({"source": source, "ok": ok, **facts}) + "\n"
      with self._lock, self._named():
        self._file.write(line)
        self._file.flush()

  def close(self) -> None:
    """Closes the log."""
    if self._file is not None:
      with self._named():
        self._file.close()

  @contextlib.contextmanager
  def _named(self):
    """Errors name the log."""
    try:
      yield
    except OSError as error:
      raise OSError(error.errno, error.strerror, self._path) from error


def _is_log(start):
  """Whether these first bytes of a file, or whole file, are a log's."""
  return start.startswith(b'{"source": ')
