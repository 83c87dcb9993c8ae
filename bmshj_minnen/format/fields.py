"""The one table of the fields of a file; sizes, offsets, readers and writers are derived from it.

A file is a header and a payload: the symbols of z in raster order, then the symbols of y in the
order of `coding.passes`. Metadata, if any, form a separate part before the file, which does not
change it: another header, EXIF from its TIFF header on, and XMP, a packet in UTF-8.
"""

import dataclasses
import functools
from typing import Optional, Union

from bmshj_minnen.format import farmhash

__all__ = [
  "FIELDS",
  "MAGIC",
  "MANY_RATES",
  "MAX_SIDE",
  "METADATA",
  "ONE_RATE",
  "PICTURES",
  "Field",
  "checksum",
  "field",
  "header_size",
  "offset",
  "of_version",
  "pack",
  "unpack",
]

MAGIC = b"BMM"
ONE_RATE = 1  # The format version that models for one rate write.
MANY_RATES = 2  # The format version that models for many rates write.
METADATA = 4  # Differs from both in two bits, so that no flipped bit turns one into the other.
PICTURES = (ONE_RATE, MANY_RATES)
_ALL = (*PICTURES, METADATA)


@dataclasses.dataclass(frozen=True)
class Field:
  """A field of a header.

  Attributes:
    name: the name of the field.
    size: bytes.
    versions: the format versions that have the field.
    least: the value that is stored as zero, for a big-endian number; None: the field holds bytes.
  """

  name: str
  size: int
  versions: tuple[int, ...]
  least: Optional[int] = None


FIELDS = (
  Field("magic", 3, _ALL),
  Field("version", 1, _ALL, 0),
  Field("metadata_checksum", 4, (METADATA,)),  # See `metadata`.
  Field("exif_size", 4, (METADATA,), 0),
  Field("xmp_size", 4, (METADATA,), 0),
  Field("fingerprint", 4, PICTURES),  # The model's, see `FrozenPrior.fingerprint`.
  Field("height", 2, PICTURES, 1),
  Field("width", 2, PICTURES, 1),
  Field("payload_size", 4, PICTURES, 0),
  Field("quality", 1, (MANY_RATES,), 0),  # See `quality.BYTES`.
  Field("checksum", 4, PICTURES),  # Covers the header before it and the payload.
)


@functools.cache
def of_version(version: int) -> tuple[Field, ...]:
  """The fields of a header of this format version, in order."""
  return tuple(field for field in FIELDS if version in field.versions)


def field(name: str) -> Field:
  """The field with this name."""
  return next(field for field in FIELDS if field.name == name)


@functools.cache
def offset(name: str, version: int) -> int:
  """The place of a field, in bytes from the start of its header."""
  names = [field.name for field in of_version(version)]
  return sum(field.size for field in of_version(version)[: names.index(name)])


@functools.cache
def header_size(version: int) -> int:
  """The size of a header of this format version, in bytes."""
  return sum(field.size for field in of_version(version))


MAX_SIDE = field("height").least + 256 ** field("height").size - 1  # Pixels.


def pack(version: int, **values: Union[bytes, int]) -> bytes:
  """The header of a format version, from the values of all fields but magic and version."""
  values = {"magic": MAGIC, "version": version, **values}
  return b"".join(
    values[field.name]
    if field.least is None
    else (values[field.name] - field.least).to_bytes(field.size, "big")
    for field in of_version(version)
  )


def unpack(data: bytes, start: int = 0) -> dict[str, Union[bytes, int]]:
  """The values of the fields of a header, by name; the header must be whole.

  Args:
    data: a file.
    start: the place where its header begins, in bytes.
  """
  version, values = data[start + offset("version", ONE_RATE)], {}
  for field in of_version(version):
    end = start + field.size
    part = data[start:end]
    values[field.name] = part if field.least is None else field.least + int.from_bytes(part, "big")
    start = end
  return values


def checksum(data: bytes) -> bytes:
  """The first 4 bytes of the farmhash64 of the data.

  Raises:
    ValueError: the data have less than 16 bytes.
  """
  return farmhash.fingerprint(data)[: field("checksum").size]
