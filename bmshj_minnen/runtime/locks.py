"""Locks of folders, so that two runs do not write into one."""

import contextlib
import errno
import fcntl
import os
import pathlib
from collections.abc import Iterator

__all__ = ["exclusive"]

# File systems of some networks lock no folders; runs there are on their own.
_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextlib.contextmanager
def exclusive(directory: pathlib.Path, taken: str) -> Iterator[None]:
  """Locks a folder against other processes; the lock ends with the process.

  Args:
    directory: the folder; created if it is missing.
    taken: the message if another process has locked it.

  Raises:
    ValueError: another process has locked the folder.
  """
  directory.mkdir(parents=True, exist_ok=True)
  handle = os.open(directory, os.O_RDONLY)
  try:
    try:
      fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(taken) from error
    except OSError as error:
      if error.errno not in _NO_LOCKS:
        raise
    yield
  finally:
    os.close(handle)
