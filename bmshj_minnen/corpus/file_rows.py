"""Outcomes of the files of a corpus: rows that workers send, and their counts."""

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.command_line import manifest
from bmshj_minnen.corpus import run_tables

__all__ = ["EXISTING", "FAILED", "MADE", "CorpusOutcome", "FileRow", "write_tables"]

MADE, EXISTING, FAILED = "made", "existing", "failed"
_SOURCE, _FILE, _SOURCE_BYTES, _BYTES = map(
  manifest.COLUMNS.index, ("source", "file", "source_bytes", "bytes")
)


class FileRow(NamedTuple):
  """Outcome of one file.

  Attributes:
    state: MADE, EXISTING (the result was there already) or FAILED.
    cells: cells of the table of failures if the file failed, else of the manifest.
  """

  state: str
  cells: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class CorpusOutcome:
  """Counts of a run.

  Attributes:
    files: number of results made.
    existing: number of results that were there already.
    failures: number of files that could not be converted.
    bytes_in, bytes_out: total bytes of the sources and of the results made.
  """

  files: int = 0
  existing: int = 0
  failures: int = 0
  bytes_in: int = 0
  bytes_out: int = 0

  def summary(self, verb: str) -> str:
    """A line with the counts; it begins with the verb, such as "compressed"."""
    return (
      f"{verb} {self.files} files, {self.bytes_in} bytes -> {self.bytes_out}; "
      f"{self.existing} were there already, {self.failures} failed"
      + (f": see {run_tables.FAILURES}" if self.failures else "")
    )

  @classmethod
  def of(cls, rows: Iterable[FileRow]) -> "CorpusOutcome":
    """Counts of these rows."""
    cells = {MADE: [], EXISTING: [], FAILED: []}
    for row in rows:
      cells[row.state].append(row.cells)
    return cls(
      len(cells[MADE]),
      len(cells[EXISTING]),
      len(cells[FAILED]),
      sum(row[_SOURCE_BYTES] for row in cells[MADE]),
      sum(row[_BYTES] for row in cells[MADE]),
    )


def write_tables(
  rows: Iterable[FileRow], output: str, run: str, overwrite: bool, earlier_failures: dict[str, str]
) -> None:
  """Writes manifest.csv, failures.csv and, last, the counts; each is written completely or not.

  The manifest lists all results in the folder: rows of earlier runs stay, unless this run has a row
  for the same file, or the file is gone.

  Args:
    rows: rows of all files; an engine that repeats a task may return some rows twice.
    output: folder of the results.
    run: name of the run.
    overwrite: whether tables of other programs are replaced.
    earlier_failures: source -> reason; sources of this run are left out.

  Raises:
    WriteError: a table cannot be written.
    ValueError: another program may have written a table that would be replaced.
  """
  rows = list(set(rows))
  outcome = CorpusOutcome.of(rows)
  failed = [row.cells for row in rows if row.state == FAILED]
  converted = [row.cells for row in rows if row.state != FAILED]
  sources, places = {row.cells[_SOURCE] for row in rows}, {cells[_FILE] for cells in converted}
  for place, row in run_tables.read(output, overwrite).manifest.items():
    if place not in places and FileSystems.exists(FileSystems.join(output, place)):
      converted.append(tuple(row[column] for column in manifest.COLUMNS))
  failed += [item for item in earlier_failures.items() if item[0] not in sources]
  run_tables.write_manifest(output, sorted(converted, key=lambda cells: cells[: _FILE + 1]))
  run_tables.write_failures(output, sorted(failed))
  run_tables.write_counts(output, run, dataclasses.asdict(outcome))
