"""Sources and results: files and standard streams, and what results may take the place of."""

import contextlib
import dataclasses
import os
import stat
import sys
from collections.abc import Iterator
from typing import Callable, Optional

from bmshj_minnen.photographs import outputs

__all__ = ["STREAM", "Results", "folder_problem", "is_stdout", "loss", "read"]

STREAM = "-"  # Standard input as a source, standard output as a target.

_STDIN, _STDOUT = 0, 1
_HEAD = 16


def read(path: str) -> bytes:
  """The content of a source.

  Raises:
    OSError: it cannot be read.
  """
  if path != STREAM:
    with open(path, "rb") as file:
      return file.read()
  with _named("standard input"), open(_STDIN, "rb", closefd=False) as file:
    return file.read()


@contextlib.contextmanager
def _named(stream: str) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise OSError(error.errno, os.strerror(error.errno), stream) from error


def is_stdout(target: str) -> bool:
  """Whether a result goes where lines are printed."""
  return target == STREAM or outputs.open_file_of(target) == _STDOUT


def folder_problem(folder: str, must_exist: bool = True) -> Optional[str]:
  """Why no file can be made in a folder, or in one that is made first; None if one can."""
  folder = os.path.realpath(folder)
  while not must_exist and not os.path.lexists(folder):
    folder = os.path.dirname(folder)
  if not os.path.lexists(folder):
    return f"{folder}: No such file or directory"
  if not os.path.isdir(folder):
    return f"{folder} is not a folder"
  return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder}: Permission denied"


def loss(
  target: str, there: bytes, data: bytes, is_own: Callable[[bytes], bool], skip_existing: bool
) -> Optional[str]:
  """The rule of all programs: what this program did not write is not replaced unasked.

  An empty file may be replaced, and the beginning of the result, as of a run that was cut off.

  Args:
    target: name of the file that is there.
    there: its content; of a longer one, more of it than there are data will do.
    data: the result that is to take its place.
    is_own: content -> whether this program wrote it for certain.
    skip_existing: whether whole results are kept in any case, so that this is no remedy.

  Returns:
    The line that refuses it; None if nothing is lost.
  """
  if not there or is_own(there) or data.startswith(there):
    return None
  remedy = "" if skip_existing else ", --skip_existing keeps a whole result"
  return (
    f"{target} is there already, and this program may not have written it: --overwrite replaces it"
    f"{remedy}"
  )


@dataclasses.dataclass(frozen=True)
class Results:
  """How results get their places: what this program did not write is not lost unasked.

  Attributes:
    is_own: the first bytes of a file -> whether this program wrote it for certain.
    overwrite: whether a result replaces whatever is there.
    skip_existing: whether whole results are kept, so that the content of a file is not looked at
      before there is a result to put in its place.
    makes_folders: whether the folder of a result is made if it is missing.
  """

  is_own: Callable[[bytes], bool]
  overwrite: bool = False
  skip_existing: bool = False
  makes_folders: bool = False

  def problem(self, target: str) -> Optional[str]:
    """Why a result cannot go there, as far as that is known before there is one."""
    if target == STREAM or outputs.open_file_of(target) is not None:
      return None
    if not target or target.endswith(os.sep) or os.path.isdir(target):
      return f"{target or 'an empty name'} cannot be a file; for a folder give --output_dir"
    if not os.path.exists(target):
      folder = os.path.dirname(os.path.realpath(target))
      return folder_problem(folder, not self.makes_folders)
    mode = os.stat(target).st_mode
    if not mode & 0o222 or not os.access(target, os.W_OK):  # The former binds root, too.
      return f"{target} is read-only"
    return None if self.skip_existing else self._loss(target, b"")

  def write(self, target: str, data: bytes, source: str) -> None:
    """Writes the result of a source.

    Raises:
      OSError: as `outputs.write_atomically`.
      ValueError: something would be lost.
    """
    if target == STREAM:
      with _named("standard output"):
        sys.stdout.flush()
        outputs.write_to(_STDOUT, data)
      return
    if outputs.open_file_of(target) is None and os.path.isfile(target):
      line = self._loss(target, data)
      if line:
        raise ValueError(line)
    outputs.write_atomically(target, data, None if source == STREAM else source)

  def _loss(self, target, data):
    """What would be lost if these data replaced what is there."""
    if self.overwrite or not stat.S_ISREG(os.stat(target).st_mode):
      return None
    with open(target, "rb") as file:
      there = file.read(max(_HEAD, len(data) + 1))
    return loss(target, there, data, self.is_own, self.skip_existing)
