"""A log of a run for programs to read: a line of JSON for each file."""

import json
import threading
from typing import Any, Optional

__all__ = ["RunLog"]


class RunLog:
  """Writes each line as it is known; may be used by several threads.

  Each line has `source`, `ok` and the facts that are known about the file, and `error` if it
  failed.

  Args:
    path: of the file, which is made anew; None: nothing is written.

  Raises:
    OSError: it cannot be made.
  """

  def __init__(self, path: Optional[str] = None):
    self._file = None
    if path is not None:
      self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115
    self._lock = threading.Lock()

  def add(self, source: str, ok: bool, **facts: Any) -> None:
    """Adds a line."""
    if self._file is not None:
      line = json.dumps({"source": source, "ok": ok, **facts}) + "\n"
      with self._lock:
        self._file.write(line)
        self._file.flush()

  def close(self) -> None:
    """Ends the log."""
    if self._file is not None:
      self._file.close()
