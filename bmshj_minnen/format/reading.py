"""Takes files apart, in plain Python; `graph_reading` does the same within graphs."""

import dataclasses
from collections.abc import Sequence
from typing import Optional

from bmshj_minnen.format import fields, metadata
from bmshj_minnen.format.errors import BitstreamError, Problem
from bmshj_minnen.format.writing import version_of
from bmshj_minnen.quality import BYTES, QUALITIES

__all__ = [
  "DEFAULT_MAX_PIXELS",
  "Header",
  "is_start_of_file",
  "parse",
  "parse_intact",
  "unpack",
]

DEFAULT_MAX_PIXELS = 2**28


@dataclasses.dataclass(frozen=True)
class Header:
  """The header of a file, and its metadata.

  Attributes:
    fingerprint: 4 bytes, the fingerprint of the model.
    height, width: size of the image, 1..65536 pixels.
    checksum: 4 bytes, the checksum in the file.
    expected_checksum: 4 bytes, the checksum computed from the file.
    quality: one of `QUALITIES`; None for a model for one rate.
    exif, xmp: the metadata; empty if absent.
    start: bytes before the header, which hold the metadata.
  """

  fingerprint: bytes
  height: int
  width: int
  checksum: bytes
  expected_checksum: bytes
  quality: Optional[float] = None
  exif: bytes = b""
  xmp: bytes = b""
  start: int = 0

  @property
  def version(self) -> int:
    """The format version of the file without metadata."""
    return version_of(self.quality is not None)

  @property
  def size(self) -> int:
    """The size of the header without metadata, in bytes."""
    return fields.header_size(self.version)

  def offset(self, name: str) -> int:
    """The place of a field, in bytes from the start of the file."""
    return self.start + fields.offset(name, self.version)


def parse(data: bytes, versions: Sequence[int] = fields.PICTURES) -> tuple[Header, bytes]:
  """Takes a file apart without a model; the caller checks the checksum.

  Args:
    data: the whole file.
    versions: the format versions that are accepted.

  Returns:
    The header and the payload.

  Raises:
    BitstreamError: the data have another format or version or an unknown quality, are truncated, or
      have trailing bytes.
    TypeError: the data are not bytes.
  """
  if not isinstance(data, (bytes, bytearray, memoryview)):
    raise TypeError(f"expected the bytes of a file, not {type(data).__name__}")
  data = bytes(data)
  start, exif, xmp = metadata.read(data)
  _check_shape(data, start, versions)
  values = fields.unpack(data, start)
  version = values["version"]
  check = start + fields.offset("checksum", version)
  payload = data[start + fields.header_size(version) :]
  quality = None
  if "quality" in values:
    quality = _quality(values["quality"], start + fields.offset("quality", version))
  return Header(
    fingerprint=values["fingerprint"],
    height=values["height"],
    width=values["width"],
    checksum=values["checksum"],
    expected_checksum=fields.checksum(data[start:check] + payload),
    quality=quality,
    exif=exif,
    xmp=xmp,
    start=start,
  ), payload


def _check_shape(data, start, versions):
  """Raises unless a file begins correctly at `start` and has the length that it declares."""
  found, least = len(data), fields.header_size(fields.ONE_RATE)
  if found == start:
    problem = Problem.NO_PICTURE if start else Problem.EMPTY
    raise BitstreamError(problem, start, f"at least {least} bytes", 0)
  begins = data[start : start + len(fields.MAGIC)]
  if begins != fields.MAGIC[: found - start]:
    raise BitstreamError(Problem.NOT_COMPRESSED, start, fields.MAGIC, begins)
  where, version = start + fields.offset("version", versions[0]), versions[0]
  if found > where:
    version = data[where]
    if version not in versions:
      raise BitstreamError(Problem.VERSION, where, " or ".join(map(str, versions)), version)
  head = start + fields.header_size(version)
  if found < head:
    raise BitstreamError(Problem.TRUNCATED_HEADER, found, f"{head} bytes", found)
  size = head + fields.unpack(data, start)["payload_size"]
  if found < size:
    raise BitstreamError(Problem.TRUNCATED, found, f"{size} bytes", found)
  if found > size:
    raise BitstreamError(Problem.TRAILING_BYTES, size, f"{size} bytes", found)


def _quality(byte, where):
  if byte not in BYTES:
    raise BitstreamError(Problem.QUALITY, where, f"{min(BYTES)} to {max(BYTES)}", byte)
  return QUALITIES[BYTES.index(byte)]


def parse_intact(data: bytes, versions: Sequence[int] = fields.PICTURES) -> tuple[Header, bytes]:
  """Takes a file apart as `parse` does, but checks the checksum: the header can be trusted.

  Raises:
    BitstreamError: the errors of `parse`, or a wrong checksum.
    TypeError: the data are not bytes.
  """
  header, payload = parse(data, versions)
  if header.checksum != header.expected_checksum:
    raise BitstreamError(
      Problem.CHECKSUM,
      header.offset("checksum"),
      header.expected_checksum.hex(),
      header.checksum.hex(),
    )
  return header, payload


def is_start_of_file(head: bytes) -> bool:
  """Whether ten or more bytes begin a file of this format, whole or cut off.

  A BMP may have the same first bytes. But it has four zeros where a fingerprint ends and a height
  begins, or in the middle of a checksum and a length.
  """
  is_bmp = len(head) >= 10 and not any(head[6:10])
  versions = (*fields.PICTURES, fields.METADATA)
  magic = fields.MAGIC
  return (
    head[: len(magic)] == magic[: len(head)]
    and (len(head) <= len(magic) or head[len(magic)] in versions)
    and not is_bmp
  )


def unpack(
  data: bytes,
  fingerprint: bytes,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  has_quality: bool = False,
) -> tuple[Header, bytes]:
  """Checks a file and takes it apart.

  Args:
    data: the whole file.
    fingerprint: 4 bytes, the fingerprint of the model that is to decode the file.
    max_pixels: the largest image that is accepted, in pixels.
    has_quality: whether the model is for many rates.

  Returns:
    The header and the payload.

  Raises:
    BitstreamError: the errors of `parse_intact`, another model, or too large an image.
    TypeError: the data are not bytes.
  """
  header, payload = parse_intact(data, (version_of(has_quality),))
  if header.fingerprint != fingerprint:
    raise BitstreamError(
      Problem.MODEL,
      header.offset("fingerprint"),
      f"fingerprint {fingerprint.hex()}",
      header.fingerprint.hex(),
    )
  if header.height * header.width > max_pixels:
    raise BitstreamError(
      Problem.TOO_LARGE,
      header.offset("height"),
      f"at most {max_pixels} pixels",
      f"{header.height} rows of {header.width}",
    )
  return header, payload
