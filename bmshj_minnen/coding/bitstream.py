"""The container: 20 or 21 bytes of header, then one range-coded payload.

    offset  size  field
    0       3     magic "BMM"
    3       1     format version
    4       4     fingerprint of the model (see `FrozenPrior.fingerprint`)
    8       2     height - 1, pixels
    10      2     width - 1, pixels
    12      4     bytes of the payload
    16      1     quality: in version 2 only, which models for many rates write
    16, 17  4     checksum: first 4 bytes of the farmhash64 of all bytes before it and the payload
    20, 21        payload: the symbols of z in raster order, then those of y in wavefront order

Numbers are big-endian. 1 to 100 are whole qualities, 101 to 199 are 1½ to 99½.

A file may have metadata, which do not change what it is otherwise: before it there is then

    0       3     magic "BMM"
    3       1     4
    4       4     checksum: first 4 bytes of the farmhash64 of this part, with zeros in its place
    8       4     bytes of EXIF
    12      4     bytes of XMP
    16            EXIF, from its TIFF header on, then XMP, an XML packet in UTF-8

TensorFlow is not needed here; `packing` writes files within graphs.
"""

import dataclasses
from collections.abc import Sequence
from typing import Optional

from bmshj_minnen.coding import farmhash

__all__ = [
  "HEADER_SIZE",
  "MAX_SIDE",
  "QUALITIES",
  "BitstreamError",
  "Header",
  "header_size",
  "is_start_of_file",
  "parse",
  "parse_intact",
  "unpack",
  "with_metadata",
]

MAGIC = b"BMM"
VERSION = 1  # Of models for one rate.
QUALITY_VERSION = 2  # Of models for many.
METADATA_VERSION = 4  # In two bits other than those, so that no flipped bit makes one of the other.
HEADER_SIZE = 20
QUALITIES = tuple(i / 2 for i in range(2, 201))  # 1, 1½, … 100.
HALF_STEP = 100  # Added to the byte of a quality for half a step more.
LAST_QUALITY_BYTE = 2 * HALF_STEP - 1
MAX_SIDE = 2**16
DEFAULT_MAX_PIXELS = 2**28
_METADATA_HEAD = 16


class BitstreamError(ValueError):
  """Bytes are not a file of this format, or not whole; the message is one line.

  Attributes:
    problem: in words, such as "wrong checksum".
    offset: the byte at which it shows.
    expected, found: what should be there, and what is.
  """

  def __init__(self, problem: str, offset: int, expected: object, found: object):
    super().__init__(f"{problem} at byte {offset}: expected {expected}, found {found}")
    self.problem, self.offset, self.expected, self.found = problem, offset, expected, found

  def __reduce__(self):
    """Pools of processes hand errors back pickled, and the message alone would not make it anew."""
    return type(self), (self.problem, self.offset, self.expected, self.found), self.__dict__


@dataclasses.dataclass(frozen=True)
class Header:
  """What a file says about itself.

  Attributes:
    fingerprint: 4 bytes.
    height, width: of the image, pixels, 1..65536.
    checksum: 4 bytes, as they stand there.
    expected_checksum: what they should be.
    quality: one of `QUALITIES`; None in version 1.
    exif, xmp: the metadata; empty if there are none.
    start: bytes before the header, which hold them.
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
    """Of the format, metadata aside."""
    return VERSION if self.quality is None else QUALITY_VERSION

  @property
  def size(self) -> int:
    """Bytes of the header."""
    return header_size(self.version)


def header_size(version: int) -> int:
  """Bytes before the payload in a file of a format version."""
  return HEADER_SIZE + (version == QUALITY_VERSION)


def parse(
  data: bytes, versions: Sequence[int] = (VERSION, QUALITY_VERSION)
) -> tuple[Header, bytes]:
  """Takes a file apart without a model; the checksum is left to the caller.

  Args:
    data: the whole file.
    versions: of the format, which are accepted.

  Returns:
    The header and the payload.

  Raises:
    BitstreamError: not this format, another version, no such quality, truncated, or trailing bytes.
    TypeError: not bytes.
  """
  if not isinstance(data, (bytes, bytearray, memoryview)):
    raise TypeError(f"expected the bytes of a file, not {type(data).__name__}")
  data = bytes(data)
  start, exif, xmp = _metadata(data)
  _check_shape(data, start, versions)
  check = start + header_size(data[start + 3]) - 4
  payload = data[check + 4 :]
  quality = None
  if data[start + 3] == QUALITY_VERSION:
    quality = _quality(data, check - 1)
  return Header(
    fingerprint=data[start + 4 : start + 8],
    height=_number(data, start + 8, 2) + 1,
    width=_number(data, start + 10, 2) + 1,
    checksum=data[check : check + 4],
    expected_checksum=farmhash.fingerprint(data[start:check] + payload)[:4],
    quality=quality,
    exif=exif,
    xmp=xmp,
    start=start,
  ), payload


def _number(data, at, size):
  return int.from_bytes(data[at : at + size], "big")


def _check_shape(data, start, versions):
  """Raises unless a file begins here as files do, and has the length that it says."""
  found = len(data)
  if found == start:
    problem = "no picture behind the metadata" if start else "the file is empty"
    raise BitstreamError(problem, start, f"at least {HEADER_SIZE} bytes", 0)
  begins = data[start : start + 3]
  if begins != MAGIC[: found - start]:
    raise BitstreamError("not a compressed image", start, MAGIC, begins)
  if found > start + 3 and data[start + 3] not in versions:
    expected = " or ".join(map(str, versions))
    raise BitstreamError("another format version, or damage", start + 3, expected, data[start + 3])
  head = start + header_size(data[start + 3] if found > start + 3 else versions[0])
  if found < head:
    raise BitstreamError("truncated header", found, f"{head} bytes", found)
  size = head + _number(data, start + 12, 4)
  if found < size:
    raise BitstreamError("truncated, or damaged length", found, f"{size} bytes", found)
  if found > size:
    raise BitstreamError("trailing bytes, or damaged length", size, f"{size} bytes", found)


def _quality(data, at):
  byte = data[at]
  if not 1 <= byte <= LAST_QUALITY_BYTE:
    expected = f"1 to {LAST_QUALITY_BYTE}"
    raise BitstreamError("no such quality, or damage", at, expected, byte)
  return QUALITIES[2 * byte - 2 if byte <= HALF_STEP else 2 * (byte - HALF_STEP) - 1]


def _metadata(data):
  """Where the file itself starts, EXIF and XMP."""
  if data[:4] != MAGIC + bytes([METADATA_VERSION]):
    return 0, b"", b""
  found = len(data)
  if found < _METADATA_HEAD:
    raise BitstreamError("truncated header", found, f"{_METADATA_HEAD} bytes", found)
  middle = _METADATA_HEAD + _number(data, 8, 4)
  end = middle + _number(data, 12, 4)
  if found < end:
    raise BitstreamError("truncated, or damaged length", found, f"more than {end} bytes", found)
  expected = _metadata_checksum(data[:end])
  if data[4:8] != expected:
    raise BitstreamError("damaged metadata: wrong checksum", 4, expected.hex(), data[4:8].hex())
  return end, data[_METADATA_HEAD:middle], data[middle:end]


def _metadata_checksum(part):
  return farmhash.fingerprint(part[:4] + bytes(4) + part[8:])[:4]


def with_metadata(data: bytes, exif: bytes, xmp: bytes) -> bytes:
  """A file with metadata before it, or as it is if there are none.

  Args:
    data: what `Codec.compress` returned.
    exif: from its TIFF header on; less than 2^32 bytes.
    xmp: an XML packet in UTF-8; less than 2^32 bytes.
  """
  if not exif and not xmp:
    return data
  sizes = len(exif).to_bytes(4, "big") + len(xmp).to_bytes(4, "big")
  part = MAGIC + bytes([METADATA_VERSION]) + bytes(4) + sizes + exif + xmp
  return part[:4] + _metadata_checksum(part) + part[8:] + data


def parse_intact(
  data: bytes, versions: Sequence[int] = (VERSION, QUALITY_VERSION)
) -> tuple[Header, bytes]:
  """Like `parse`, but with a wrong checksum a `BitstreamError`, too: what the header says is so."""
  header, payload = parse(data, versions)
  if header.checksum != header.expected_checksum:
    raise BitstreamError(
      "damaged: wrong checksum",
      header.start + header.size - 4,
      header.expected_checksum.hex(),
      header.checksum.hex(),
    )
  return header, payload


def is_start_of_file(head: bytes) -> bool:
  """Whether bytes begin a file of this format, whole or cut off; they should be ten or more.

  A BMP may begin like one, but has four zeros where a fingerprint ends and a height begins, or in
  the middle of a checksum and a length.
  """
  is_bmp = len(head) >= 10 and not any(head[6:10])
  versions = (VERSION, QUALITY_VERSION, METADATA_VERSION)
  return head[:3] == MAGIC[: len(head)] and (len(head) < 4 or head[3] in versions) and not is_bmp


def unpack(
  data: bytes,
  fingerprint: bytes,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  has_quality: bool = False,
) -> tuple[Header, bytes]:
  """Checks a file and takes it apart.

  Args:
    data: the whole file.
    fingerprint: of the model that is to decode it.
    max_pixels: the largest image that is accepted.
    has_quality: whether it is a model for many rates.

  Raises:
    BitstreamError: as `parse_intact`, and another model, or too large.
  """
  header, payload = parse_intact(data, (QUALITY_VERSION if has_quality else VERSION,))
  if header.fingerprint != fingerprint:
    raise BitstreamError(
      "compressed with another model",
      header.start + 4,
      f"fingerprint {fingerprint.hex()}",
      header.fingerprint.hex(),
    )
  if header.height * header.width > max_pixels:
    raise BitstreamError(
      "image too large",
      header.start + 8,
      f"at most {max_pixels} pixels",
      f"{header.height} rows of {header.width}",
    )
  return header, payload
