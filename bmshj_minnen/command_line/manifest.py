"""The manifest of a folder of results, and the rule by which a result is kept.

The programs and Beam write the same table, manifest.csv. A row has the hashes of a source and of
its result, and the request that the result answers.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional

__all__ = [
  "COLUMNS",
  "FORMER_COLUMNS",
  "NAME",
  "cells_of",
  "csv_line",
  "digest",
  "is_copy",
  "is_kept",
  "is_of_listed_size",
  "parse",
  "refusal",
  "request_text",
]

NAME = "manifest.csv"
COLUMNS = (
  *("source", "file", "source_bytes", "bytes", "width", "height", "bpp", "sha256"),
  *("source_sha256", "request"),
)
FORMER_COLUMNS = COLUMNS[:8]  # Without the source's hash and the request.


def is_kept(
  record: dict[str, str],
  request: str,
  result_sha256: str,
  source_sha256: Callable[[], str],
) -> bool:
  """Whether a result is of the present source and of this request, as its row shows.

  Args:
    record: row of the result, by column; empty without one.
    request: the request, see `request_text`.
    result_sha256: hash of the result as it is now.
    source_sha256: returns the hash of the source as it is now; called last.
  """
  return (
    record.get("sha256") == result_sha256
    and record["request"] == request
    and bool(record["source_sha256"])
    and record["source_sha256"] == source_sha256()
  )


def is_of_listed_size(record: dict[str, str], size: int) -> bool:
  """Whether a file of so many bytes may be the result of a row; no row has no result."""
  return record.get("bytes") == str(size)


def is_copy(record: dict[str, str]) -> bool:
  """Whether the result of a row is a copy of its source, see `compress --keep_smaller`."""
  return bool(record["source_sha256"]) and record["source_sha256"] == record["sha256"]


def refusal(record: dict[str, str], target: str, source: str) -> Optional[str]:
  """Error message if a result was made of another source, which may be gone; else None.

  Args:
    record: row of the result that is there; empty without one.
    target: path of the result.
    source: the source whose result would replace it.
  """
  other = record.get("source", source)
  if os.path.abspath(other) == os.path.abspath(source):
    return None
  return f"{target} was made of another source, {other}: --overwrite replaces it"


def request_text(**settings: Any) -> str:
  """All settings that results depend on, apart from their sources; None is left out."""
  return " ".join(f"{name}={value}" for name, value in settings.items() if value is not None)


def digest(content: bytes) -> str:
  """SHA-256 in hexadecimal digits."""
  return hashlib.sha256(content).hexdigest()


def cells_of(
  names: tuple[str, str], sizes: tuple[int, int, int, int], coded: int, origin: tuple[str, str, str]
) -> tuple[Any, ...]:
  """The cells of a row.

  Args:
    names: path of the source, and place of the result below the folder.
    sizes: bytes of the source and of the result, width and height of the picture.
    coded: bytes of the compressed file, for the bits per pixel.
    origin: hashes of the result and of the source, and the request.
  """
  bpp = f"{8 * coded / (sizes[2] * sizes[3]):.4f}"
  return (*names, *sizes, bpp, *origin)


def csv_line(cells: Iterable[Any]) -> str:
  """A line of a table."""
  buffer = io.StringIO()
  end = "\r\n"  # Cells that contain one of these characters are quoted.
  csv.writer(buffer, lineterminator=end).writerow(cells)
  return buffer.getvalue()[: -len(end)] + "\n"


def parse(
  content: bytes, layouts: Sequence[tuple[str, ...]] = (COLUMNS, FORMER_COLUMNS)
) -> Optional[list[dict[str, str]]]:
  """The rows of a table, by column; None if the table has another layout.

  A last line without an end, which a killed run may have left behind, is dropped unless it is the
  first: its last cell may be cut off.

  Args:
    content: content of the file.
    layouts: the columns of the layouts; columns that are in the first one alone become empty.
  """
  return _whole_rows(content[: content.rfind(b"\n") + 1] or content, layouts)


def _whole_rows(content, layouts):
  try:
    # Spreadsheets add a byte order mark.
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
  except (ValueError, csv.Error):  # For example an empty file.
    return None
  rows = list(filter(None, rows))
  whole = tuple(header) in layouts and all(len(row) == len(header) for row in rows)
  empty = dict.fromkeys(layouts[0], "")
  return [{**empty, **dict(zip(header, row))} for row in rows] if whole else None
