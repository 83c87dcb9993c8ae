"""metrics.csv: one row per save of a run, ordered by step."""

import csv
import io
import math
import pathlib
from typing import Any, Optional

from bmshj_minnen.file_tools import outputs

__all__ = ["NAME", "MetricsTable", "is_table"]

NAME = "metrics.csv"


def is_table(path: pathlib.Path) -> bool:
  """Whether an existing file is such a table, or empty."""
  with open(path, "rb") as file:
    return file.read(5) in (b"", b"step,")


class MetricsTable:
  """The rows of a run that may be interrupted at any time.

  A row is written before its checkpoint, so that no checkpoint lacks its row; only the checkpoints
  that Ctrl-C makes between validations have no row. A resumed run repeats the steps after its
  checkpoint; the next update drops their rows.
  """

  def __init__(self, path: pathlib.Path):
    """Keeps all existing rows, until `resume` is called."""
    self._path = path
    self._last = math.inf

  def resume(self, step: int) -> None:
    """Marks rows after this step, which the next update drops."""
    self._last = step

  def update(self, step: int, row: Optional[dict[str, Any]] = None) -> None:
    """Updates the table to a step of the run.

    Args:
      step: step after which the run is saved.
      row: column -> value, including `step`; None without a validation.

    Raises:
      OSError: the table cannot be written; it keeps its old content.
    """
    columns, found = self._read()
    rows = [old for old in found if _step(old) <= self._last]
    if row is not None:
      columns = list(dict.fromkeys([*columns, *row]))
      rows.append(row)
    if rows != found:
      text = io.StringIO(newline="")
      writer = csv.DictWriter(text, columns)
      writer.writeheader()
      writer.writerows(rows)
      outputs.write_atomically(str(self._path), text.getvalue().encode())
    self._last = step

  def _read(self):
    if not self._path.exists():
      return [], []
    with open(self._path, newline="") as file:
      reader = csv.DictReader(file)
      return list(reader.fieldnames or ()), list(reader)


def _step(row):
  """Step of a row; infinite for truncated rows, which older versions could leave behind."""
  try:
    return math.inf if None in row.values() else int(row["step"])
  except (KeyError, ValueError):
    return math.inf
