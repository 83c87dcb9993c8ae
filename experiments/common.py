"""Parts that experiments share: finding images, files of results."""

import csv
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

from bmshj_minnen.data import finding
from bmshj_minnen.file_tools import outputs

__all__ = [
  "csv_text",
  "find_images",
  "read_csv",
  "write_csv",
  "write_json",
  "write_text",
]


def find_images(pattern: Optional[str]) -> list[str]:
  """The files that a pattern matches, sorted; without a pattern the bundled photographs.

  Raises:
    DataError: no file matches.
  """
  return finding.find_files([pattern]) if pattern else finding.bundled_photographs()


def read_csv(path: Union[str, pathlib.Path]) -> list[dict[str, str]]:
  """The rows of a CSV file whose first line has the names of the columns."""
  with open(path, newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
  """Rows with the same names as CSV; the first line has the names. No rows are an empty text."""
  if not rows:
    return ""
  text = io.StringIO()
  writer = csv.DictWriter(text, rows[0], lineterminator="\n")
  writer.writeheader()
  writer.writerows(rows)
  return text.getvalue()


def write_csv(path: Union[str, pathlib.Path], rows: Sequence[Mapping[str, Any]]) -> None:
  """Writes `csv_text` completely or not at all."""
  write_text(path, csv_text(rows))


def write_json(path: Union[str, pathlib.Path], value: Any) -> None:
  """Writes a value as indented JSON, completely or not at all."""
  write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Union[str, pathlib.Path], text: str) -> None:
  """Writes a text in UTF-8, completely or not at all."""
  outputs.write_atomically(str(path), text.encode())
