"""Writes files atomically where possible, through links, and to devices and pipes."""

import contextlib
import errno
import os
import pathlib
import re
import secrets
import stat
from typing import Optional

__all__ = [
  "has_time_of",
  "is_made_of",
  "open_file_of",
  "refuse_change",
  "take_time_of",
  "version_of",
  "write_atomically",
  "write_to",
]

_MAX_LINKS = 40  # The limit of Linux.
_ANYBODY = 0o666
# Errors of folders that accept no new file, and of files in use, such as mount points.
_NOT_RENAMED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
# Resolution of file times in nanoseconds: ext4, NTFS, exFAT, ext3 and FAT.
_TIME_UNITS = (1, 100, 10**7, 10**9, 2 * 10**9)


def write_atomically(path: str, data: bytes, like: Optional[str] = None) -> None:
  """Writes a file completely or not at all: to a temporary name, synced, then renamed.

  Links are followed. Devices, pipes, open files such as /dev/stdout, and files that cannot be
  replaced, such as mount points, are written directly. A killed process may leave .NUMBER.tmp
  behind, in the same folder.

  Args:
    path: path of the file.
    data: content of the file.
    like: the source that the file was made from. The result gets its time of modification, and is
      accessible only to users who have access to the source and to the file that was at `path`
      before. The umask applies in any case.

  Raises:
    OSError: the file cannot be written; the message names `path`, not the temporary file.
  """
  data = memoryview(data)
  try:
    number, place = open_file_of(path), os.path.realpath(path)
    if os.path.islink(place):
      raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if number is not None:
      write_to(number, data)
    elif os.path.exists(place) and not os.path.isfile(place):
      with open(place, "wb", buffering=0) as file:
        write_to(file.fileno(), data)
    else:
      _write_file(place, data, _stat_of_file(like))
  except OSError as error:
    if not error.errno:
      raise
    raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def is_made_of(path: str, like: str) -> bool:
  """Whether `write_atomically` made a file from the present content of a source.

  As in rsync, both must have the same time of modification, up to the resolution of the result's
  file system. Other files may have the same time, for example compressed files of one photograph;
  so the source must also not have been written, replaced or renamed (ctime) since.

  Args:
    path: path of the result.
    like: path of the source.
  """
  try:
    return has_time_of(path, like) and os.stat(like).st_ctime_ns <= os.stat(path).st_ctime_ns
  except OSError:
    return False


def has_time_of(path: str, like: str) -> bool:
  """Whether two files have the same time of modification, up to the resolution at `path`.

  This also holds for copies of both files, while `is_made_of` holds only where the file was made.

  Raises:
    OSError: a file does not exist.
  """
  time = os.stat(like).st_mtime_ns
  return os.stat(path).st_mtime_ns in [time // unit * unit for unit in _TIME_UNITS]


def take_time_of(path: str, like: str) -> None:
  """Gives a file the time of modification of its source, if its file system keeps times."""
  status = os.stat(like)
  with contextlib.suppress(OSError):
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def version_of(path: str) -> Optional[tuple[int, ...]]:
  """A value that changes whenever the content of a file changes; None for pipes and devices."""
  status = _stat_of_file(path)
  return status and (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def refuse_change(path: str, version: Optional[tuple[int, ...]]) -> None:
  """Raises if a source was changed since it was read.

  Its result would get the time of the new content, and would pass for a result of it.

  Args:
    path: path of the source.
    version: `version_of` the source before it was read.

  Raises:
    ValueError: the source was changed.
  """
  if version_of(path) != version:
    raise ValueError("was changed while it was read: try again")


def write_to(descriptor: int, data: bytes) -> None:
  """Writes all data to an open file descriptor, and leaves it open."""
  rest = memoryview(data)
  while rest:
    rest = rest[os.write(descriptor, rest) :]


def open_file_of(path: str) -> Optional[int]:
  """The descriptor of the open file that a path such as /dev/stdout leads to; else None."""
  for _ in range(_MAX_LINKS):
    folder, name = os.path.split(path)
    if re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd", os.path.realpath(folder or os.curdir)):
      return int(name) if name.isdecimal() else None
    if not os.path.islink(path):
      return None
    path = os.path.join(folder, os.readlink(path))
  return None


def _stat_of_file(path):
  if path is None:
    return None
  with contextlib.suppress(OSError):  # The file may not exist any more.
    status = os.stat(path)
    return status if stat.S_ISREG(status.st_mode) else None
  return None


def _write_file(place, data, source):
  # The name is short, because the name of the file may already have the maximum length.
  temporary = os.path.join(os.path.dirname(place), f".{secrets.randbits(48)}.tmp")
  old = _stat_of_file(place)
  try:
    with _created(temporary, old, source) as file:
      _finish(file.fileno(), data, source)
    os.replace(temporary, place)
  except BaseException as error:
    with contextlib.suppress(OSError):
      pathlib.Path(temporary).unlink(missing_ok=True)
    if old is None or getattr(error, "errno", None) not in _NOT_RENAMED:
      raise
    with open(place, "r+b", buffering=0) as file:
      _finish(file.fileno(), data, source)


def _created(temporary, old, source):
  """A new file that never has wider permissions than the result."""
  mode = _ANYBODY if source is None else source.st_mode & _ANYBODY | stat.S_IWUSR
  descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
  if old is not None:
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & (mode if source else 0o777))
  return open(descriptor, "wb", buffering=0)


def _finish(descriptor, data, source):
  write_to(descriptor, data)
  os.ftruncate(descriptor, len(data))
  if source is not None:
    with contextlib.suppress(OSError):  # Not every file system keeps times.
      os.utime(descriptor, ns=(source.st_atime_ns, source.st_mtime_ns))
  try:
    os.fsync(descriptor)
  except OSError as error:
    if error.errno not in _NO_SYNC:
      raise
