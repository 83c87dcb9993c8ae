"""metrics.csv: one row for each save of a run, ordered by step."""

import csv
import io
import math
import pathlib
from typing import Any, Optional

from bmshj_minnen.photographs import outputs

__all__ = ["MetricsTable"]


class MetricsTable:
  """The rows of a run that may be interrupted at any time.

  A row is written before its checkpoint, so that no checkpoint lacks its row; but those that Ctrl-C
  makes between validations have none. Rows after the checkpoint that a run resumes from are of
  steps that it takes again; the next update drops them.
  """

  def __init__(self, path: pathlib.Path):
    """All rows that are there stay, until `resume` says otherwise."""
    self._path = path
    self._last = math.inf

  def resume(self, step: int) -> None:
    """Rows up to this step are of the run; the others will be dropped."""
    self._last = step

  def update(self, step: int, row: Optional[dict[str, Any]] = None) -> None:
    """Makes the table that of a run which has come to a step.

    Args:
      step: after which the run is saved.
      row: column -> value, with `step` among them; None where nothing was validated.

    Raises:
      OSError: it cannot be written; the table is as it was.
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
  """Infinite for a row that was cut off, as programs before this one could leave it."""
  try:
    return math.inf if None in row.values() else int(row["step"])
  except (KeyError, ValueError):
    return math.inf
