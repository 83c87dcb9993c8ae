"""Sources of photographs: a path, an open file, or the content of a file."""

import os
import pathlib
from typing import BinaryIO, Optional, Union

__all__ = ["Source", "content_of", "name_of"]

Source = Union[str, bytes, os.PathLike, BinaryIO]
_TAKEN = "a path, a file that is open for bytes, or content=bytes"


def name_of(source: Source) -> str:
  """The name of a file in messages."""
  if isinstance(source, (str, bytes, os.PathLike)):
    return os.fsdecode(source)
  name = getattr(source, "name", None)  # A number, if the file was opened by its descriptor.
  return os.fsdecode(name) if isinstance(name, (str, bytes)) else f"a {type(source).__name__}"


def content_of(source: Source, content: Optional[bytes] = None) -> bytes:
  """The content of a file.

  Args:
    source: a path, or an open file, which is read from its beginning if it is seekable.
    content: the content, bytes or a buffer, if it is read already.

  Raises:
    OSError: the file cannot be read.
    TypeError: the type of `source` or `content` is not supported.
  """
  if content is not None:
    try:
      return content if isinstance(content, bytes) else bytes(memoryview(content))
    except TypeError as error:
      raise TypeError(f"content must be bytes or a buffer, not {_kind(content)}") from error
  if isinstance(source, bytes) and b"\0" in source:
    raise TypeError("these are the bytes of a file, not its path: pass them as content=")
  if isinstance(source, (str, bytes, os.PathLike)):
    return pathlib.Path(os.fsdecode(source)).read_bytes()
  if not hasattr(source, "read"):
    raise TypeError(f"a photograph is read from {_TAKEN}, not from {_kind(source)}")
  if getattr(source, "seekable", lambda: False)():
    source.seek(0)
  content = source.read()
  if isinstance(content, str):
    raise TypeError(f"a photograph is read from {_TAKEN}; this one is open for text")
  return content_of(source, content)


def _kind(value):
  return f"a value of type {type(value).__name__}"
