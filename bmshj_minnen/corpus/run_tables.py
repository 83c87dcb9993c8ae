"""The tables of a corpus: manifest.csv, failures.csv, counts.json. Later runs continue them."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.command_line import files, manifest
from bmshj_minnen.corpus import storage

__all__ = [
  "FAILURE_COLUMNS",
  "RunTables",
  "read",
  "read_counts",
  "write_counts",
  "FAILURES",
  "write_failures",
  "write_manifest",
]

FAILURE_COLUMNS = ("source", "reason")
_MANIFEST, FAILURES, _COUNTS = manifest.NAME, "failures.csv", "counts.json"
_LAYOUTS = {
  _MANIFEST: (manifest.COLUMNS, manifest.FORMER_COLUMNS),
  FAILURES: (FAILURE_COLUMNS,),
}
_START_OF_COUNTS = b'{"run": '


class RunTables(NamedTuple):
  """The tables of earlier runs.

  Attributes:
    manifest: `file` -> row, which maps columns to cells; the last columns are empty in rows of the
      former layout.
    failures: source -> reason.
  """

  manifest: dict[str, dict[str, str]]
  failures: dict[str, str]


def read(output: str, overwrite: bool = False) -> RunTables:
  """Reads the existing tables.

  Args:
    output: output folder of a corpus.
    overwrite: whether tables of other programs are ignored.

  Raises:
    ValueError: another program may have written a table that this run would replace.
  """
  contents = {name: _content(output, name) for name in (_MANIFEST, FAILURES, _COUNTS)}
  for name, content in contents.items():
    path = FileSystems.join(output, name)
    line = files.loss(path, content, b"", lambda there, name=name: _is_own(name, there), True)
    if line and not overwrite:
      raise ValueError(line)
  rows, failures = (_rows(name, contents[name]) for name in (_MANIFEST, FAILURES))
  return RunTables(
    {row["file"]: row for row in rows or ()},
    {row["source"]: row["reason"] for row in failures or ()},
  )


def write_manifest(output: str, rows: Iterable[tuple[Any, ...]]) -> None:
  """Writes manifest.csv completely or not at all.

  Args:
    output: output folder of a corpus.
    rows: cells of each row, in the order of `manifest.COLUMNS`.

  Raises:
    WriteError: the table cannot be written.
  """
  _write(output, _MANIFEST, manifest.COLUMNS, rows)


def write_failures(output: str, rows: Iterable[tuple[Any, ...]]) -> None:
  """Writes failures.csv; raises `WriteError` if it cannot be written."""
  _write(output, FAILURES, FAILURE_COLUMNS, rows)


def write_counts(output: str, run: str, counts: dict[str, int]) -> None:
  """Writes the counts of the run of that name; raises `WriteError` if they cannot be written."""
  content = json.dumps({"run": run, **counts}).encode()
  storage.write_file(FileSystems.join(output, _COUNTS), content)


def read_counts(output: str, run: str) -> dict[str, int]:
  """The counts that a run wrote, on any machine.

  Raises:
    RuntimeError: the run of that name has not written its counts.
  """
  counts = json.loads(_content(output, _COUNTS) or b"{}")
  if counts.pop("run", None) != run:
    path = FileSystems.join(output, _COUNTS)
    raise RuntimeError(f"the pipeline ended, but has not written {path}: do its workers see it?")
  return counts


def _content(output, name):
  path = FileSystems.join(output, name)
  return storage.read_file(path) if FileSystems.exists(path) else b""


def _is_own(name, content):
  if name == _COUNTS:
    return content.startswith(_START_OF_COUNTS)
  return _rows(name, content) is not None


def _rows(name, content):
  """The rows of a table, by column; None: the table has another layout."""
  return manifest.parse(content, _LAYOUTS[name])


def _write(output, name, columns, rows):
  text = "".join(map(manifest.csv_line, [columns, *rows]))
  storage.write_file(FileSystems.join(output, name), text.encode())
