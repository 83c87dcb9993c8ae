"""Changes parts of compressed files without metadata."""

from typing import Optional

from bmshj_minnen.format import fields

__all__ = ["cut_before", "flipped", "seal", "split", "with_field"]


def split(data: bytes) -> tuple[bytes, bytes]:
  """The bytes before the checksum, and the payload."""
  version = fields.unpack(data)["version"]
  return data[: fields.offset("checksum", version)], data[fields.header_size(version) :]


def seal(head: bytes, payload: bytes) -> bytes:
  """Joins the parts that `split` gives, with the right checksum."""
  return head + fields.checksum(head + payload) + payload


def with_field(data: bytes, name: str, value: bytes, payload: Optional[bytes] = None) -> bytes:
  """A file with another value of one field, perhaps another payload, and the right checksum."""
  head, own = split(data)
  start = fields.offset(name, fields.unpack(data)["version"])
  return seal(
    head[:start] + value + head[start + len(value) :], own if payload is None else payload
  )


def cut_before(data: bytes, name: str) -> bytes:
  """The bytes before a field."""
  return data[: fields.offset(name, fields.unpack(data)["version"])]


def flipped(data: bytes, name: str, at: int = 0, bit: int = 4) -> bytes:
  """A file with one flipped bit in a field: bit `bit` of its byte `at`."""
  where = fields.offset(name, fields.unpack(data)["version"]) + at
  return data[:where] + bytes([data[where] ^ 1 << bit]) + data[where + 1 :]
