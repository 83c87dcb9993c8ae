"""Boxes of ISO files: JPEG 2000 (ISO 15444-1, annex I), AVIF and HEIC (ISO 14496-12, 23008-12)."""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Box", "boxes", "brands", "find", "primary_properties"]

_FULL = 4  # Bytes of version and flags at the beginning of some boxes.
# Of sample descriptions: version, flags and a count; then of a description of pictures: its fields.
_DESCRIPTIONS = 8
_PICTURE = 78


class Box(NamedTuple):
  """A box.

  Attributes:
    name: of four bytes.
    body: what is in it.
  """

  name: bytes
  body: bytes


def boxes(content: bytes) -> Iterator[Box]:
  """The boxes that stand one behind another, up to the first that is cut off."""
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
  """The body of the first box at a path of names, empty if there is none."""
  for name in path:
    content = next((body for found, body in boxes(content) if found == name), b"")
  return content


def brands(content: bytes) -> frozenset[bytes]:
  """What an ISO file says that it is; empty for other files."""
  if content[4:8] != b"ftyp":
    return frozenset()
  body = find(content, b"ftyp")
  return frozenset(body[i : i + 4] for i in range(0, len(body), 4) if i != 4)


def primary_properties(content: bytes) -> list[Box]:
  """The properties of the picture that an AVIF or HEIC file shows, in the order of the file."""
  meta = find(content, b"meta")[_FULL:]
  properties = list(boxes(find(meta, b"iprp", b"ipco")))
  return [properties[i - 1] for i in _associated(meta) if 0 < i <= len(properties)] + list(
    _track_properties(content)
  )


def _associated(meta):
  """Numbers of the properties of the primary item, from 1 on."""
  primary = find(meta, b"pitm")
  item = int.from_bytes(primary[_FULL:], "big")
  table = find(meta, b"iprp", b"ipma")
  id_size, index_size = 4 if table[:1] > b"\0" else 2, 2 if table[3:4] > b"\0" else 1
  at = _FULL + 4
  while at + id_size < len(table):
    found, count = int.from_bytes(table[at : at + id_size], "big"), table[at + id_size]
    at += id_size + 1
    if found == item:
      indices = [table[at + i * index_size :][:index_size] for i in range(count)]
      # The highest bit says that it is essential.
      return [int.from_bytes(i, "big") & (1 << 8 * index_size - 1) - 1 for i in indices]
    at += count * index_size
  return []


def _track_properties(content):
  """What a sequence says of the pictures of its first track."""
  media = find(content, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
  for description in boxes(media[_DESCRIPTIONS:]):
    yield from boxes(description.body[_PICTURE:])
