"""Files on any of Beam's file systems."""

import secrets

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

__all__ = ["WriteError", "read_file", "write_file"]


class WriteError(OSError):
  """A file could not be written; the message names it."""


def read_file(path: str) -> bytes:
  """The content of a file on any of Beam's file systems."""
  with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
    return file.read()


def write_file(path: str, content: bytes) -> None:
  """Writes to .NUMBER.tmp in the same folder, then renames: the file is whole or not there.

  Raises:
    WriteError: that cannot be done.
  """
  folder, _ = FileSystems.split(path)
  temporary = FileSystems.join(folder, f".{secrets.randbits(48)}.tmp")
  try:
    with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
      file.write(content)
    FileSystems.rename([temporary], [path])
  except BaseException as error:
    if FileSystems.exists(temporary):
      FileSystems.delete([temporary])
    if isinstance(error, OSError):
      raise WriteError(f"{path}: {error}") from error
    raise
