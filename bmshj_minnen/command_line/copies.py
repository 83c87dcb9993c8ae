"""Photographs that are smaller than their compressed files, which are copied instead if asked."""

import os
from typing import Optional

from bmshj_minnen.command_line import files
from bmshj_minnen.format import reading

__all__ = ["place_of", "write"]


def place_of(target: str, source: str) -> str:
  """Path of the copy of a source whose compressed file would be `target`: beside it, as named."""
  return os.path.join(os.path.dirname(target), os.path.basename(source))


def write(results: files.Results, target: str, data: bytes, source: str, is_copied: bool) -> str:
  """Writes a compressed file or copies its photograph, and removes the other of an earlier run.

  Args:
    results: the writer of results.
    target: path of the compressed file.
    data: its content.
    source: path of the photograph.
    is_copied: whether the photograph is copied.

  Returns:
    Path of the file that was written; the photograph itself if results lie beside their sources.

  Raises:
    OSError: the file cannot be written.
    ValueError: a file that this program may not have written would be lost.
  """
  copy = place_of(target, source)
  is_source = os.path.exists(copy) and os.path.samefile(copy, source)
  if not is_copied:
    is_stale = not is_source and results.is_recorded(copy)
    results.write(target, data, source)
    _remove(copy if is_stale else None)
    return target
  if not is_source:
    results.write(copy, files.read(source), source)
  _remove(target if _is_compressed(target) else None)
  return copy


def _is_compressed(path):
  if not os.path.isfile(path):
    return False
  with open(path, "rb") as file:
    return reading.is_start_of_file(file.read(16))


def _remove(path: Optional[str]):
  if path is not None:
    os.remove(path)
