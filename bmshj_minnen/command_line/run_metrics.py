"""Figures of a run for Prometheus, such as for the textfile collector of its node exporter."""

import collections
import threading
import time
from typing import Any, Optional

from bmshj_minnen.command_line import files, prometheus
from bmshj_minnen.file_tools import outputs

__all__ = ["RunMetrics"]

_EVERY = 15.0  # Seconds between two versions of the file.
_START = b"# HELP bmshj_run"
_OUTCOMES = ("done", "existing", "failed")


class RunMetrics:
  """Counts files and writes the figures, each version whole; may be used by several threads.

  Args:
    path: the file, which is replaced; None: nothing is written.
    program: name of the program, which all figures have as a label.

  Raises:
    OSError: the file cannot be written.
    ValueError: an existing file has no such figures.
  """

  def __init__(self, path: Optional[str] = None, program: str = ""):
    if path is not None:
      files.refuse_other("metrics", path, lambda start: start.startswith(_START))
    self._path, self._program = path, program
    self._lock = threading.Lock()
    self._files = dict.fromkeys(_OUTCOMES, 0)
    self._sums: collections.Counter = collections.Counter()
    self._parts: collections.Counter = collections.Counter()
    self._begin, self._end = time.time(), 0.0
    self._written = 0.0
    self._write()

  def add(self, ok: bool, facts: dict[str, Any]) -> None:
    """Counts a file; facts are those of the log."""
    existing = facts.get("existing", False)
    with self._lock:
      self._files["existing" if existing else "done" if ok else "failed"] += 1
      if ok and not existing:
        self._sums["bytes"] += facts.get("bytes", 0)
        self._sums["pixels"] += facts.get("width", 0) * facts.get("height", 0)
        self._parts.update(facts.get("seconds", {}))
      if time.monotonic() - self._written >= _EVERY:
        self._write()

  def close(self) -> None:
    """Writes the figures of the run, which has ended."""
    with self._lock:
      self._end = time.time()
      self._write()

  def _write(self):
    if self._path is None:
      return
    self._written = time.monotonic()
    now, program = self._end or time.time(), (self._program,)
    seconds = {(self._program, name): value for name, value in self._parts.items()}
    figures = [
      ("files", "Files by outcome.", {(*program, k): v for k, v in self._files.items()}, "outcome"),
      ("compressed_bytes", "Bytes of compressed files that were done.", self._sums["bytes"], None),
      ("pixels", "Pixels of the files that were done.", self._sums["pixels"], None),
      ("part_seconds", "Seconds of each part, over all threads.", seconds, "part"),
      ("seconds", "Seconds since the start, until the end.", now - self._begin, None),
      ("start_time_seconds", "Time of the start, Unix.", self._begin, None),
      ("end_time_seconds", "Time of the end, Unix; 0 while it runs.", self._end, None),
    ]
    text = prometheus.text_of(
      prometheus.Figure(
        f"bmshj_run_{name}",
        "gauge",
        words,
        value if isinstance(value, dict) else {program: value},
        ("program", label) if label else ("program",),
      )
      for name, words, value, label in figures
    )
    outputs.write_atomically(self._path, text.encode())
