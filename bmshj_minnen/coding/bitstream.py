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
"""

import dataclasses
from collections.abc import Sequence
from typing import Optional, Union

import tensorflow as tf

__all__ = [
  "HEADER_SIZE",
  "MAX_SIDE",
  "QUALITIES",
  "BitstreamError",
  "Header",
  "checksum_of",
  "header_size",
  "is_start_of_file",
  "pack",
  "parse",
  "parse_intact",
  "quality_of",
  "unpack",
]

MAGIC = b"BMM"
VERSION = 1  # Of models for one rate.
QUALITY_VERSION = 2  # Of models for many.
HEADER_SIZE = 20
QUALITIES = tuple(i / 2 for i in range(2, 201))  # 1, 1½, … 100.
_HALF = 100  # Added to the byte of a quality for half a step more.
LAST_QUALITY_BYTE = 2 * _HALF - 1
MAX_SIDE = 2**16
DEFAULT_MAX_PIXELS = 2**28

_BYTES = [bytes([i]) for i in range(256)]


class BitstreamError(ValueError):
  """Bytes are not a file of this format, or not whole; the message is one line.

  Attributes:
    offset: the byte at which it shows.
    expected, found: what should be there, and what is.
  """

  def __init__(self, problem: str, offset: int, expected: object, found: object):
    super().__init__(f"{problem} at byte {offset}: expected {expected}, found {found}")
    self.offset, self.expected, self.found = offset, expected, found


@dataclasses.dataclass(frozen=True)
class Header:
  """What a file says about itself.

  Attributes:
    fingerprint: 4 bytes.
    height, width: of the image, pixels, 1..65536.
    checksum: 4 bytes, as they stand there.
    expected_checksum: what they should be.
    quality: one of `QUALITIES`; None in version 1.
  """

  fingerprint: bytes
  height: int
  width: int
  checksum: bytes
  expected_checksum: bytes
  quality: Optional[float] = None

  @property
  def version(self) -> int:
    """Of the format."""
    return VERSION if self.quality is None else QUALITY_VERSION

  @property
  def size(self) -> int:
    """Bytes of the header."""
    return header_size(self.version)


def header_size(version: int) -> int:
  """Bytes before the payload in a file of a format version."""
  return HEADER_SIZE + (version == QUALITY_VERSION)


def pack(
  fingerprint: bytes,
  height: tf.Tensor,
  width: tf.Tensor,
  payload: tf.Tensor,
  quality: Union[None, float, tf.Tensor] = None,
) -> tf.Tensor:
  """Makes a file, with TensorFlow's own ops alone, so that it can be part of a graph.

  Args:
    fingerprint: 4 bytes.
    height, width: scalar int32, 1..65536.
    payload: scalar string.
    quality: one of `QUALITIES`, of a model for many rates; a number or a scalar float32.

  Returns:
    Scalar string.
  """
  fields = [
    tf.constant(MAGIC + bytes([VERSION if quality is None else QUALITY_VERSION]) + fingerprint),
    _big_endian(height - 1, 2),
    _big_endian(width - 1, 2),
    _big_endian(tf.strings.length(payload), 4),
    b"" if quality is None else _quality_byte(quality),
  ]
  head = tf.strings.join(fields)
  return tf.strings.join([head, checksum_of(tf.strings.join([head, payload])), payload])


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
  if not data:
    raise BitstreamError("the file is empty", 0, f"at least {HEADER_SIZE} bytes", 0)
  if data[:3] != MAGIC[: len(data)]:
    raise BitstreamError("not a compressed image", 0, MAGIC, data[:3])
  if len(data) > 3 and data[3] not in versions:
    expected = " or ".join(map(str, versions))
    raise BitstreamError("another format version, or damage", 3, expected, data[3])
  head = header_size(data[3] if len(data) > 3 else versions[0])
  if len(data) < head:
    raise BitstreamError("truncated header", len(data), f"{head} bytes", len(data))
  size = head + int.from_bytes(data[12:16], "big")
  if len(data) < size:
    raise BitstreamError("truncated, or damaged length", len(data), f"{size} bytes", len(data))
  if len(data) > size:
    raise BitstreamError("trailing bytes, or damaged length", size, f"{size} bytes", len(data))
  payload, check = data[head:], head - 4
  height = int.from_bytes(data[8:10], "big") + 1
  width = int.from_bytes(data[10:12], "big") + 1
  # Not `checksum_of`: outside a graph each op takes time, and TensorFlow 2.14 on Python 3.11 was
  # seen to keep 16 bytes of memory for ever for each tensor that it makes.
  checksum = tf.fingerprint([data[:check] + payload]).numpy()[0, :4].tobytes()
  quality = None
  if data[3] == QUALITY_VERSION:
    if not 1 <= data[16] <= LAST_QUALITY_BYTE:
      expected = f"1 to {LAST_QUALITY_BYTE}"
      raise BitstreamError("no such quality, or damage", 16, expected, data[16])
    quality = QUALITIES[2 * data[16] - 2 if data[16] <= _HALF else 2 * (data[16] - _HALF) - 1]
  return Header(data[4:8], height, width, data[check:head], checksum, quality), payload


def _quality_byte(quality):
  quality = tf.cast(quality, tf.float32)
  whole = tf.floor(quality)
  return tf.gather(_BYTES, tf.cast(whole + _HALF * tf.math.sign(quality - whole), tf.int32))


def quality_of(byte: tf.Tensor) -> tf.Tensor:
  """The quality that a scalar byte of a header stands for, float32, within a graph."""
  byte = tf.cast(byte, tf.float32)
  return tf.where(byte <= _HALF, byte, byte - _HALF + 0.5)


def parse_intact(
  data: bytes, versions: Sequence[int] = (VERSION, QUALITY_VERSION)
) -> tuple[Header, bytes]:
  """Like `parse`, but with a wrong checksum a `BitstreamError`, too: what the header says is so."""
  header, payload = parse(data, versions)
  if header.checksum != header.expected_checksum:
    raise BitstreamError(
      "damaged: wrong checksum",
      header.size - 4,
      header.expected_checksum.hex(),
      header.checksum.hex(),
    )
  return header, payload


def is_start_of_file(head: bytes) -> bool:
  """Whether bytes begin a file of this format, whole or cut off; they should be ten or more.

  A BMP may begin like one, but has four zeros where a fingerprint ends and a height begins.
  """
  is_bmp = len(head) >= 10 and not any(head[6:10])
  versions = (VERSION, QUALITY_VERSION)
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
      4,
      f"fingerprint {fingerprint.hex()}",
      header.fingerprint.hex(),
    )
  if header.height * header.width > max_pixels:
    raise BitstreamError(
      "image too large",
      8,
      f"at most {max_pixels} pixels",
      f"{header.height} rows of {header.width}",
    )
  return header, payload


def _big_endian(value: tf.Tensor, size: int) -> tf.Tensor:
  """A non-negative scalar int32 as a string of `size` bytes."""
  digits = tf.bitwise.right_shift(value, [8 * i for i in reversed(range(size))])
  return tf.strings.reduce_join(tf.gather(_BYTES, tf.bitwise.bitwise_and(digits, 255)))


def checksum_of(data: tf.Tensor) -> tf.Tensor:
  """4 bytes of the farmhash64 of a scalar string."""
  digits = tf.cast(tf.fingerprint(data[None])[0, :4], tf.int32)
  return tf.strings.reduce_join(tf.gather(_BYTES, digits))
