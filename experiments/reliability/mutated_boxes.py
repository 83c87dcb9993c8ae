"""AVIF and HEIC files whose boxes are damaged.

Each is made from a good file, the control, by a random generator. Files that are valid but show
another picture are not made: they would not be damaged.
"""

import functools
import struct
from typing import Callable

import numpy as np

from experiments.reliability import heif_files, icc_files
from experiments.reliability.judging import Case, changed, picture

__all__ = ["case"]

_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4}
_FULL = frozenset((b"meta", b"hdlr", b"pitm", b"iinf", b"infe", b"iref", b"ipma", b"iloc"))
_COUNTED = {b"iinf": 12, b"ipma": 12, b"iloc": 14, b"dimg": 10}  # Offsets of 16-bit counts.


@functools.cache
def _controls(image_format):
  """Name -> a file that changes colours or positions of the coded pixels."""
  coded, size = heif_files.coded(picture(), image_format), picture().shape[1::-1]
  grid, p3 = heif_files.derived(b"grid", size), heif_files.nclx(12, 13)
  turned = heif_files.irot(1), heif_files.imir(0)
  icc = icc_files.matrix_profile(icc_files.P3, [icc_files.power(1.8)] * 3)
  found = {
    "P3": (coded.with_properties(p3),),
    "profile": (coded.with_properties(heif_files.profile(icc)),),
    "turned": (coded.with_properties(p3, *turned),),
    "cut": (coded.with_properties(p3, heif_files.clap(40, 20)),),
    "grid": (grid.with_properties(p3, *turned), coded.with_properties(p3)),
    "PQ": (grid, coded.with_properties(heif_files.nclx(9, 16))),
  }
  if image_format == "HEIF":
    for kind in (b"iden", b"iovl"):
      whole = heif_files.derived(kind, size[::-1])
      found[kind.decode()] = (whole, coded.with_properties(p3, *turned))
  return {name: heif_files.file_of(*items) for name, items in found.items()}


def _places(content, at, end):
  """Position and name of each box in a part of a file, nested boxes included."""
  while at + 8 <= end:
    size, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
    yield at, name
    if name in _CONTAINERS:
      yield from _places(content, at + 8 + _CONTAINERS[name], at + size)
    at += size


def _any(content, random, names=None):
  """Position of a random box before the pixels, with one of these names or any."""
  places = _places(content, 0, content.index(b"mdat") - 4)
  found = [at for at, name in places if names is None or name in names]
  return int(found[random.integers(len(found))])


def _other_name(content, random):
  at = _any(content, random) + 4 + int(random.integers(4))
  return changed(content, at, bytes([content[at] ^ 1 << random.integers(5)]))


def _other_length(change):
  def make(content, random):
    at = _any(content, random)
    size = int.from_bytes(content[at : at + 4], "big")
    return changed(content, at, struct.pack(">I", change(size, random)))

  return make


def _other_version(content, random):
  at = _any(content, random, _FULL) + 8
  return changed(content, at, bytes([content[at] ^ 1 << random.integers(8)]))


def _other_count(content, random):
  at = _any(content, random, _COUNTED)
  at += _COUNTED[content[at + 4 : at + 8]]
  count = int.from_bytes(content[at : at + 2], "big")
  return changed(content, at, struct.pack(">H", (count + random.choice([-1, 1, 255])) % 2**16))


def _essential_stranger(content, random):
  """Gives an essential property an unknown name."""
  at = _any(content, random, (b"irot", b"imir", b"clap", b"hvcC", b"av1C"))
  return changed(content, at + 4, b"zzzz")


def _other_colours(content, random):
  """Gives the colours an unknown type."""
  at = _any(content, random, (b"colr",)) + 8
  return changed(content, at, random.bytes(4))


def _other_mark(content, random):
  """Makes a property of the first item essential, or no longer essential."""
  at = content.index(b"ipma") + 4 + 4 + 4
  count = content[at + 2]
  at += 3 + int(random.integers(count))
  return changed(content, at, bytes([content[at] ^ 0x80]))


def _exchanged(content, random):
  """Exchanges two different bytes of one of the tables."""
  at = _any(content, random, (b"ftyp", b"hdlr", b"infe", b"iloc"))
  size = int.from_bytes(content[at : at + 4], "big")
  one, two = at + 8 + random.integers(size - 8, size=2)
  new = changed(content, one, content[two : two + 1])
  return changed(new, two, content[one : one + 1])


_BOXES: dict[str, Callable] = {
  "another name": _other_name,
  "no length": _other_length(lambda size, r: 0),
  "a byte less": _other_length(lambda size, r: size - 1),
  "a byte more": _other_length(lambda size, r: size + 1),
  "shorter than its head": _other_length(lambda size, r: r.integers(2, 8)),
  "of 64 bits of length": _other_length(lambda size, r: 1),
  "any length": _other_length(lambda size, r: r.integers(2**32)),
  "another version": _other_version,
  "another count": _other_count,
  "an essential stranger": _essential_stranger,
  "colours of an unknown type": _other_colours,
  "another mark of being essential": _other_mark,
  "two bytes exchanged": _exchanged,
  "cut off": lambda content, r: content[: r.integers(12, content.index(b"mdat"))],
}


def case(index: int, formats: tuple[str, ...] = ("AVIF", "HEIF"), seed: int = 0) -> Case:
  """An AVIF or HEIC file with a damaged box; equal numbers make equal files."""
  random = np.random.default_rng([seed, index])
  image_format = formats[index % len(formats)]
  controls = _controls(image_format)
  name = list(controls)[index // len(formats) % len(controls)]
  kind = list(_BOXES)[random.integers(len(_BOXES))]
  content = controls[name]
  while content == controls[name]:
    content = _BOXES[kind](controls[name], random)
  return Case(kind, f"{image_format}, {name}", controls[name], content)
