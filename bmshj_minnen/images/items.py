"""Items of AVIF and HEIC files (ISO 23008-12): the displayed picture and its parts."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from bmshj_minnen.images import boxes
from bmshj_minnen.images.boxes import Box

__all__ = ["Item", "shown"]

_FULL = 4  # Bytes of version and flags at the beginning of some boxes.
# Bytes before the sample descriptions (version, flags, a count), and of fields of a description.
_DESCRIPTIONS = 8
_PICTURE = 78


class Item(NamedTuple):
  """A picture in a file.

  Attributes:
    kind: four bytes: a coding format, a derivation from other items, or `trak` for a sequence.
    properties: properties in the order in which they are applied.
    essential: names of the properties that a reader must support.
  """

  kind: bytes
  properties: Sequence[Box] = ()
  essential: Collection[bytes] = ()


def shown(content: bytes) -> list[Item]:
  """The displayed picture, followed by all pictures that it is derived from, each once.

  A sequence has both an item and a track; the first brand of the file determines which comes first.
  """
  meta = boxes.find(content, b"meta")[_FULL:]
  kinds, inputs, properties = _kinds(meta), _inputs(meta), _properties(meta)
  primary = boxes.find(meta, b"pitm")
  numbers = [int.from_bytes(primary[_FULL:], "big")] if primary else []
  seen = set(numbers)
  for number in numbers:  # The list grows meanwhile.
    new = [one for one in dict.fromkeys(inputs.get(number, ())) if one not in seen]
    numbers += new
    seen.update(new)
  found = [Item(kinds.get(one, b""), *properties.get(one, ())) for one in numbers]
  track = list(_track(content))
  return track + found if content[8:12] == b"avis" else found + track


def _numbers(data, at, size, count=1):
  """Up to `count` integers of `size` bytes each, as far as the data reach."""
  places = range(at, min(at + count * size, len(data) - size + 1), size)
  return [int.from_bytes(data[place : place + size], "big") for place in places]


def _kinds(meta):
  """Number of an item -> kind of the item."""
  table = boxes.find(meta, b"iinf")
  found = {}
  for box in boxes.boxes(table[_FULL + (4 if table[:1] > b"\0" else 2) :]):
    size = {b"\2": 2, b"\3": 4}.get(box.body[:1])
    if box.name == b"infe" and size:
      number = int.from_bytes(box.body[_FULL : _FULL + size], "big")
      found[number] = box.body[_FULL + size + 2 :][:4]
  return found


def _inputs(meta):
  """Number of an item -> numbers of the items that it is derived from."""
  table = boxes.find(meta, b"iref")
  size, found = 4 if table[:1] > b"\0" else 2, {}
  for box in boxes.boxes(table[_FULL:]):
    if box.name == b"dimg" and len(box.body) >= size + 2:
      (number,), (count,) = _numbers(box.body, 0, size), _numbers(box.body, size, 2)
      found.setdefault(number, _numbers(box.body, size + 2, size, count))
  return found


def _properties(meta):
  """Number of an item -> properties of the item, and names of the essential properties."""
  tables = boxes.find(meta, b"iprp")
  known, found = list(boxes.boxes(boxes.find(tables, b"ipco"))), {}
  for box in boxes.boxes(tables):
    if box.name != b"ipma":
      continue
    id_size, size = 4 if box.body[:1] > b"\0" else 2, 2 if box.body[3:4] > b"\0" else 1
    at = _FULL + 4
    while at + id_size < len(box.body):
      (number,), count = _numbers(box.body, at, id_size), box.body[at + id_size]
      at += id_size + 1
      # Indices count from 1; the highest bit marks a property as essential.
      bit = 1 << 8 * size - 1
      marked = [(place % bit, place >= bit) for place in _numbers(box.body, at, size, count)]
      marked = [(known[place - 1], mark) for place, mark in marked if 0 < place <= len(known)]
      properties, essential = found.setdefault(number, ([], set()))
      properties.extend(one for one, _ in marked)
      essential.update(one.name for one, mark in marked if mark)
      at += count * size
  return found


def _track(content):
  """Items for the sample descriptions in the first track of a sequence."""
  media = boxes.find(content, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
  for description in boxes.boxes(media[_DESCRIPTIONS:]):
    yield Item(b"trak", list(boxes.boxes(description.body[_PICTURE:])))
