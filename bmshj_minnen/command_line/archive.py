"""A folder of results with a manifest, which later runs continue."""

import os
import threading
from typing import Any, Optional

from bmshj_minnen.command_line import files, manifest
from bmshj_minnen.command_line.planning import Job
from bmshj_minnen.file_tools import outputs

__all__ = ["Archive", "records_of"]


def records_of(folder: str) -> Optional[dict[str, dict[str, str]]]:
  """The rows of a folder's manifest, by place; None without one, or if it is another program's."""
  path = os.path.join(folder, manifest.NAME)
  rows = manifest.parse(files.read(path)) if os.path.isfile(path) else None
  return None if rows is None else {row["file"]: row for row in rows}


class Archive:
  """The manifest of a folder, for one run; may be used by several threads.

  A row is appended as soon as its result is written, so that a killed run loses none; `close`
  writes the table anew, sorted, without rows of results that are gone.

  Args:
    folder: folder of the results; is made with the first row.
    overwrite: whether results of other sources, and a table of another program, are replaced.

  Raises:
    OSError: the table cannot be read.
    ValueError: another program may have written the table.
  """

  def __init__(self, folder: str, overwrite: bool = False):
    self._folder, self._overwrite = folder, overwrite
    self._path = os.path.join(folder, manifest.NAME)
    self._lock = threading.Lock()
    self._file = None
    self._refuse_unwritable()
    records = records_of(folder)
    if records is None and os.path.isfile(self._path) and not overwrite:
      line = files.loss(self._path, files.read(self._path), b"", lambda there: False, True)
      if line:
        raise ValueError(line)
    self._records = records or {}

  def _refuse_unwritable(self):
    if os.path.isdir(self._path):
      raise ValueError(f"{self._path} is a folder, not a table: move it away")
    if os.path.exists(self._path) and not os.access(self._path, os.W_OK):
      raise ValueError(f"{self._path} is read-only")

  def is_kept(self, target: str, source: str, request: str) -> Optional[bool]:
    """Whether a result is of the present source and of this request; None: not in the manifest.

    The source is read only if its size or the times do not already show that it is unchanged. A
    result whose source has the same content, but another time, gets that time.
    """
    listed = self._records.get(os.path.relpath(target, self._folder), {})
    if not listed.get("source_sha256"):
      return None
    record = self._record(target)
    if not record:
      return False

    def source_sha256():
      same_size = record["source_bytes"] == str(os.path.getsize(source))
      if same_size and outputs.is_made_of(target, source):
        return record["source_sha256"]
      found = manifest.digest(files.read(source))
      if found == record["source_sha256"]:
        outputs.take_time_of(target, source)
      return found

    return manifest.is_kept(record, request, record["sha256"], source_sha256)

  def is_recorded(self, target: str) -> bool:
    """Whether a file is the result that is listed for its place.

    A file with another hash counts, as damaged, if it has the listed size and the source's time.
    """
    if self._record(target):
      return True
    listed = self._records.get(os.path.relpath(target, self._folder), {})
    return (
      os.path.isfile(target)
      and manifest.is_of_listed_size(listed, os.path.getsize(target))
      and os.path.exists(listed["source"])
      and outputs.is_made_of(target, listed["source"])
    )

  def is_larger(self, target: str) -> bool:
    """Whether a recorded result has more bytes than its source."""
    record = self._record(target)
    return bool(record) and int(record["source_bytes"]) < int(record["bytes"])

  def refuse_other(self, job: Job) -> None:
    """Refuses a job that the table cannot list, or whose existing result is of another source.

    Raises:
      ValueError: a name is not UTF-8, or another source would lose its result.
    """
    try:
      f"{job.source}{job.target}".encode()
    except UnicodeEncodeError as error:
      raise ValueError(f"its name is not UTF-8, as {manifest.NAME} needs: rename it") from error
    line = manifest.refusal(self._record(job.target), job.target, job.source)
    if line and not self._overwrite:
      raise ValueError(line)

  def add(
    self, job: Job, target: str, source_sha256: str, request: str, facts: dict[str, Any]
  ) -> None:
    """Appends the row of a new result.

    Args:
      job: the job.
      target: path of its result.
      source_sha256: hash of the source that was converted.
      request: the request, see `manifest.request_text`.
      facts: `source_bytes`, `bytes` of the compressed file, `width` and `height` of the picture.
    """
    data = files.read(target)
    place = os.path.relpath(target, self._folder)
    size = facts["width"], facts["height"]
    origin = manifest.digest(data), source_sha256, request
    sizes = facts["source_bytes"], len(data), *size
    cells = manifest.cells_of((job.source, place), sizes, facts["bytes"], origin)
    with self._lock:
      self._records[place] = dict(zip(manifest.COLUMNS, map(str, cells)))
      if self._file is None:
        self._write()
        self._file = open(self._path, "a", encoding="utf-8", newline="")  # noqa: SIM115
      self._file.write(manifest.csv_line(cells))
      self._file.flush()

  def gone(self, sources: set[str]) -> list[str]:
    """Sources of results that are neither among the given ones nor on disk any more."""
    rows = [row for place, row in self._records.items() if self._exists(place)]
    return sorted(
      row["source"]
      for row in rows
      if row["source"] not in sources and not os.path.exists(row["source"])
    )

  def close(self) -> None:
    """Writes the whole table, with rows that other runs have added since."""
    with self._lock:
      if self._file is not None:
        self._file.close()
        self._file = None
        self._records = {**self._records, **(records_of(self._folder) or {})}
        self._write()

  def _write(self):
    rows = [row for place, row in sorted(self._records.items()) if self._exists(place)]
    table = [manifest.COLUMNS, *([row[name] for name in manifest.COLUMNS] for row in rows)]
    text = "".join(map(manifest.csv_line, table))
    outputs.write_atomically(self._path, text.encode())

  def _exists(self, place):
    return os.path.isfile(os.path.join(self._folder, place))

  def _record(self, target):
    """The row of the file that is at a place now; empty without one."""
    record = self._records.get(os.path.relpath(target, self._folder), {})
    if not record or not os.path.isfile(target):
      return {}
    is_it = record["bytes"] == str(os.path.getsize(target))
    return record if is_it and manifest.digest(files.read(target)) == record["sha256"] else {}
