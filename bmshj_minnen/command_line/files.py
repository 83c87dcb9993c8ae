"""Sources and results: files and standard streams, and the files that results may replace."""

import contextlib
import dataclasses
import errno
import os
import stat
import sys
from collections.abc import Iterator
from typing import Callable, Optional

from bmshj_minnen.file_tools import outputs

__all__ = ["STREAM", "Results", "folder_problem", "is_stdout", "loss", "read", "refuse_other"]

STREAM = "-"  # Standard input as a source, standard output as a target.

_STDIN, _STDOUT = 0, 1
_HEAD = 16


def read(path: str) -> bytes:
  """The content of a source.

  Raises:
    OSError: the source cannot be read.
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
  """Whether a result goes to standard output, where lines are printed."""
  return target == STREAM or outputs.open_file_of(target) == _STDOUT


def folder_problem(folder: str, must_exist: bool = True) -> Optional[str]:
  """Why no file can be created in a folder; None if one can.

  Args:
    folder: path of the folder.
    must_exist: whether the folder must exist; otherwise it may be created first.
  """
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
  """The rule of all programs: replace files of other programs only with `--overwrite`.

  An empty file may be replaced, and so may the beginning of the same result, which an interrupted
  run leaves behind.

  Args:
    target: name of the existing file.
    there: content of the existing file; `len(data) + 1` bytes are enough.
    data: the result that would replace it.
    is_own: content -> whether this program certainly wrote it.
    skip_existing: whether `--skip_existing` is given, so that the line need not suggest it.

  Returns:
    The error message; None if nothing is lost.
  """
  if not there or is_own(there) or data.startswith(there):
    return None
  remedy = "" if skip_existing else ", --skip_existing keeps a whole result"
  return (
    f"{target} is there already, and this program may not have written it: --overwrite replaces it"
    f"{remedy}"
  )


def _is_too_long(path):
  """Whether a name in a path is too long for the file system of the last existing folder."""
  folder, names = os.path.abspath(path), []
  while not os.path.isdir(folder):
    folder, name = os.path.split(folder)
    names.append(name)
  for name in names:
    try:
      os.lstat(os.path.join(folder, name))
    except OSError as error:
      if error.errno == errno.ENAMETOOLONG:
        return True
  return False


def refuse_other(flag: str, path: str, is_own: Callable[[bytes], bool]) -> None:
  """Refuses a flag for a file that the program replaces, if the existing file has other content.

  Args:
    flag: name of the flag.
    path: value of the flag.
    is_own: the first bytes of a file -> whether they belong to a file of this flag.

  Raises:
    OSError: the existing file cannot be read.
    ValueError: the existing file is another one, or `path` stands for standard output.
  """
  if path == STREAM:
    raise ValueError(f"--{flag} is a file, such as /dev/stdout, not {STREAM}")
  if os.path.isfile(path):
    with open(path, "rb") as file:
      start = file.read(_HEAD)
    if start and not is_own(start):
      raise ValueError(f"--{flag}={path} is another file, which would be lost: name a new one")


@dataclasses.dataclass(frozen=True)
class Results:
  """Writes results; files of other programs are replaced only if `overwrite` is set.

  Attributes:
    is_own: the first bytes of a file -> whether this program certainly wrote it.
    overwrite: whether a result replaces any existing file.
    skip_existing: whether complete results are kept. If so, the content of an existing file is
      checked only when a new result is ready.
    makes_folders: whether the folder of a result is created if it is missing.
    is_recorded: path of an existing file -> whether a manifest proves that this program wrote it.
  """

  is_own: Callable[[bytes], bool]
  overwrite: bool = False
  skip_existing: bool = False
  makes_folders: bool = False
  is_recorded: Callable[[str], bool] = lambda path: False

  def problem(self, target: str) -> Optional[str]:
    """Why a result cannot be written to `target`, as far as known beforehand; None if it can."""
    if target == STREAM or outputs.open_file_of(target) is not None:
      return None
    if not target or target.endswith(os.sep) or os.path.isdir(target):
      return f"{target or 'an empty name'} cannot be a file; for a folder give --output_dir"
    if not os.path.exists(target):
      if _is_too_long(target):
        return f"{target}: {os.strerror(errno.ENAMETOOLONG)}"
      folder = os.path.dirname(os.path.realpath(target))
      return folder_problem(folder, not self.makes_folders)
    mode = os.stat(target).st_mode
    if not mode & 0o222 or not os.access(target, os.W_OK):  # The former binds root, too.
      return f"{target} is read-only"
    return None if self.skip_existing else self._loss(target, b"")

  def write(self, target: str, data: bytes, source: str) -> None:
    """Writes the result of a source.

    Raises:
      OSError: the result cannot be written.
      ValueError: a file that this program may not have written would be lost.
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
    """Error message if `data` must not replace the existing file; else None."""
    if self.overwrite or not stat.S_ISREG(os.stat(target).st_mode) or self.is_recorded(target):
      return None
    with open(target, "rb") as file:
      there = file.read(max(_HEAD, len(data) + 1))
    return loss(target, there, data, self.is_own, self.skip_existing)
