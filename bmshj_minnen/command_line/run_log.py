"""A log of a run that programs can read: a line of JSON for each file."""

import json
import threading
from typing import Any, Optional

__all__ = ["RunLog"]


class RunLog:
  """Writes a line as soon as a file is done; may be used by several threads.

  Each line has `source`, `ok` and the known facts about the file, and `error` if it failed.

  Args:
    path: path of the log, which replaces any existing file; None: nothing is written.

  Raises:
    OSError: the log cannot be created.
  """

  def __init__(self, path: Optional[str] = None):
    self._file = None
    if path is not None:
      self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115
    self._lock = threading.Lock()

  def add(self, source: str, ok: bool, **facts: Any) -> None:
    """Adds a line about one file."""
    if self._file is not None:
      line = json.dumps({"source": source, "ok": ok, **facts}) + "\n"
      with self._lock:
        self._file.write(line)
        self._file.flush()

  def close(self) -> None:
    """Closes the log."""
    if self._file is not None:
      self._file.close()
