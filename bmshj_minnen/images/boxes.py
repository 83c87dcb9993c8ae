"""Boxes of ISO files: JPEG 2000 (ISO 15444-1, annex I), AVIF and HEIC (ISO 14496-12, 23008-12)."""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Box", "boxes", "brands", "find"]


class Box(NamedTuple):
  """A box.

  Attributes:
    name: name of four bytes.
    body: content of the box.
  """

  name: bytes
  body: bytes


def boxes(content: bytes) -> Iterator[Box]:
  """The consecutive boxes of a file or a body, up to the first truncated one."""
  start = 0
  while start + 8 <= len(content):
    size, body = int.from_bytes(content[start : start + 4], "big"), start + 8
    if size == 1:
      size, body = int.from_bytes(content[body : body + 8], "big"), body + 8
    end = start + size if size else len(content)  # 0: to the end of the file.
    if end < body or end > len(content):
      return
    yield Box(content[start + 4 : start + 8], content[body:end])
    start = end


def find(content: bytes, *path: bytes) -> bytes:
  """The body of the first box at a path of names; empty if it does not exist."""
  for name in path:
    content = next((body for found, body in boxes(content) if found == name), b"")
  return content


def brands(content: bytes) -> frozenset[bytes]:
  """The brands that an ISO file declares; empty for other files."""
  if content[4:8] != b"ftyp":
    return frozenset()
  body = find(content, b"ftyp")
  return frozenset(body[i : i + 4] for i in range(0, len(body), 4) if i != 4)
