"""What became of the files of a corpus: rows that travel, the tables of them, and their counts."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.corpus import storage

__all__ = [
  "EXISTING",
  "FAILED",
  "FAILURE_COLUMNS",
  "MADE",
  "MANIFEST_COLUMNS",
  "Outcome",
  "Row",
  "read_counts",
  "write_tables",
]

MANIFEST_COLUMNS = ("source", "file", "source_bytes", "bytes", "width", "height", "bpp", "sha256")
FAILURE_COLUMNS = ("source", "reason")
MADE, EXISTING, FAILED = "made", "existing", "failed"

_COUNTS = "counts.json"


class Row(NamedTuple):
  """What became of a file.

  Attributes:
    state: MADE, EXISTING (the result was there already) or FAILED.
    cells: of the failures if it failed, else of the manifest.
  """

  state: str
  cells: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a run did.

  Attributes:
    files: results made.
    existing: results that were there already.
    failures: files that could not be converted.
    bytes_in, bytes_out: of the results made.
  """

  files: int = 0
  existing: int = 0
  failures: int = 0
  bytes_in: int = 0
  bytes_out: int = 0

  def summary(self, verb: str) -> str:
    """One line; the verb says what was done."""
    return (
      f"{verb} {self.files} files, {self.bytes_in} bytes -> {self.bytes_out}; "
      f"{self.existing} were there already, {self.failures} failed"
    )

  @classmethod
  def of(cls, rows: Iterable[Row]) -> "Outcome":
    """What these rows say."""
    cells = {MADE: [], EXISTING: [], FAILED: []}
    for row in rows:
      cells[row.state].append(row.cells)
    source_bytes, result_bytes = map(MANIFEST_COLUMNS.index, ("source_bytes", "bytes"))
    return cls(
      len(cells[MADE]),
      len(cells[EXISTING]),
      len(cells[FAILED]),
      sum(row[source_bytes] for row in cells[MADE]),
      sum(row[result_bytes] for row in cells[MADE]),
    )


def write_tables(rows: Iterable[Row], output: str, run: str) -> None:
  """Writes manifest.csv, failures.csv and, last, the counts; each is whole or not there.

  Args:
    rows: of all files; an engine that does a task again may give some of them twice.
    output: the folder.
    run: names the run.

  Raises:
    WriteError: one of them cannot be written.
  """
  rows = sorted(set(rows), key=lambda row: row.cells)
  failed = [row.cells for row in rows if row.state == FAILED]
  converted = [row.cells for row in rows if row.state != FAILED]
  _write_table(output, "manifest", MANIFEST_COLUMNS, converted)
  _write_table(output, "failures", FAILURE_COLUMNS, failed)
  counts = {"run": run, **dataclasses.asdict(Outcome.of(rows))}
  storage.write_file(FileSystems.join(output, _COUNTS), json.dumps(counts).encode())


def read_counts(output: str, run: str) -> Outcome:
  """What `write_tables` counted, wherever it ran.

  Raises:
    RuntimeError: the run of that name has not written any.
  """
  path = FileSystems.join(output, _COUNTS)
  counts = json.loads(storage.read_file(path)) if FileSystems.exists(path) else {}
  if counts.pop("run", None) != run:
    raise RuntimeError(f"the pipeline ended, but has not written {path}: do its workers see it?")
  return Outcome(**counts)


def _write_table(output, name, columns, rows):
  text = "".join(map(_csv_line, [columns, *rows]))
  storage.write_file(FileSystems.join(output, f"{name}.csv"), text.encode())


def _csv_line(cells):
  buffer = io.StringIO()
  end = "\r\n"  # Cells that hold one of its characters are quoted.
  csv.writer(buffer, lineterminator=end).writerow(cells)
  return buffer.getvalue()[: -len(end)] + "\n"
