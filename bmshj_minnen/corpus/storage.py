"""Files on any of Beam's file systems."""

import os
import secrets
from typing import Optional

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.file_tools import outputs

__all__ = [
  "WriteError",
  "is_local",
  "is_made_of",
  "last_changed",
  "read_file",
  "take_time_of",
  "write_file",
]


class WriteError(OSError):
  """A file could not be written; the message names it."""


def is_local(path: str) -> bool:
  """Whether a path is on a mounted file system of this machine."""
  return "://" not in path


def read_file(path: str) -> bytes:
  """The content of a file on any of Beam's file systems."""
  with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
    return file.read()


def last_changed(path: str, last_updated: Optional[float] = None) -> float:
  """Time in seconds when a file was last written, or, on mounted file systems, renamed or replaced.

  Args:
    path: path of the file.
    last_updated: time from the file system of the file; None: it is looked up.
  """
  if is_local(path):
    status = os.stat(path)
    return max(status.st_mtime, status.st_ctime)
  return _last_updated(path) if last_updated is None else last_updated


def is_made_of(path: str, source: str) -> bool:
  """Whether a result was made from the present source, judged by the times of both files.

  On mounted file systems see `outputs.is_made_of`; elsewhere the result must not be older than the
  source.
  """
  if is_local(path) and is_local(source):
    return outputs.is_made_of(path, source)
  return _last_updated(source) <= _last_updated(path)


def take_time_of(path: str, source: str) -> None:
  """On mounted file systems, gives a result the time of modification of its source."""
  if is_local(path) and is_local(source) and not outputs.has_time_of(path, source):
    outputs.take_time_of(path, source)


def _last_updated(path):
  return FileSystems.get_filesystem(path).metadata(path).last_updated_in_seconds


def write_file(path: str, content: bytes, like: Optional[str] = None) -> None:
  """Writes a file completely or not at all; creates its folder.

  Args:
    path: path of the file.
    content: content of the file.
    like: the source that the file was made from, see `outputs.write_atomically`.

  Raises:
    WriteError: the file cannot be written.
  """
  try:
    if is_local(path):
      os.makedirs(os.path.dirname(path) or os.curdir, exist_ok=True)
      outputs.write_atomically(path, content, like)
    else:
      _write_elsewhere(path, content)
  except OSError as error:
    raise WriteError(f"{path}: {error.strerror or error}") from error


def _write_elsewhere(path, content):
  """Writes to .NUMBER.tmp in the same folder, then renames."""
  folder, _ = FileSystems.split(path)
  temporary = FileSystems.join(folder, f".{secrets.randbits(48)}.tmp")
  try:
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
      file.write(content)
    FileSystems.rename([temporary], [path])
  except BaseException:
    if FileSystems.exists(temporary):
      FileSystems.delete([temporary])
    raise
