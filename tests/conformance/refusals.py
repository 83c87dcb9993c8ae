"""Files that must be refused, made from a good one."""

import functools
from collections.abc import Iterator
from typing import Optional

from bmshj_minnen.format import fields
from tests import altered

__all__ = ["files", "with_zeros"]

_ANOTHER_MODEL = b"\0\1\2\3"
_MOST = b"\xff" * 4  # The largest height and width, or the largest size.


def files(
  good: bytes, with_metadata: bytes, zeros: int
) -> Iterator[tuple[str, bytes, Optional[int]]]:
  """Yields kind, file, and the largest number of pixels if it is below the default.

  Args:
    good: a file without metadata, of at least two pixels, with a payload of a few bytes.
    with_metadata: the same file with metadata.
    zeros: the most zeros that a decoder accepts behind the payload.
  """
  part = with_metadata[: -len(good)]
  yield from _of_shape(good)
  yield from _of_values(good, zeros)
  yield from _with_metadata(part, good)


def with_zeros(data: bytes, zeros: int) -> bytes:
  """Appends this number of zeros to the payload of a file without metadata."""
  return _of_payload(data, altered.split(data)[1] + bytes(zeros))


def _of_payload(data, payload):
  return altered.with_field(data, "payload_size", len(payload).to_bytes(4, "big"), payload)


def _of_shape(good):
  """Files with a wrong beginning, or with another length than declared."""
  version = fields.unpack(good)["version"]
  size, magic = fields.header_size(version), fields.MAGIC
  rest = good[len(magic) + 1 :]
  yield "empty", b"", None
  yield "png", b"\x89PNG\r\n\x1a\n" + bytes(40), None
  yield "magic", b"BMX" + good[len(magic) :], None
  for number in (0, 3):
    yield f"version_{number}", magic + bytes([number]) + rest, None
  yield "other_version", magic + bytes([sum(fields.PICTURES) - version]) + rest, None
  yield "one_byte", good[:1], None
  yield "another_byte", b"X", None
  yield "two_bytes", good[:2], None
  yield "magic_alone", magic, None
  yield "four_bytes", good[:4], None
  yield "four_bytes_of_version_3", magic + b"\3", None
  yield "half_a_header", _half_a_header(good), None
  yield "header_less_1", good[: size - 1], None
  yield "header_alone", good[:size], None
  yield "less_1", good[:-1], None
  yield "one_more", good + b"\0", None
  yield "payload_size", altered.with_field(good, "payload_size", _MOST), None


def _of_values(good, zeros):
  """Files with a changed field or a wrong payload; the first of two faults is the reason."""
  change, flip = (functools.partial(f, good) for f in (altered.with_field, altered.flipped))
  _, payload = altered.split(good)
  if fields.unpack(good)["version"] == fields.MANY_RATES:
    for byte in (0, 200, 255):
      yield f"quality_{byte}", change("quality", bytes([byte])), None
    no_quality = change("quality", b"\0")
    yield "quality_0_and_checksum", altered.flipped(no_quality, "checksum"), None
    yield "quality_0_and_one_more", no_quality + b"\0", None
    another = altered.with_field(no_quality, "fingerprint", _ANOTHER_MODEL)
    yield "quality_0_and_another_model", another, None
  for name in ("fingerprint", "height", "checksum"):
    yield f"flipped_{name}", flip(name, 1), None
  yield "flipped_payload", _flipped(good, -1), None
  another = change("fingerprint", _ANOTHER_MODEL)
  yield "another_model", another, None
  yield "another_model_and_2^32_pixels", altered.with_field(another, "height", _MOST), None
  yield "2^32_pixels", change("height", _MOST), None
  checksum = altered.flipped(change("height", _MOST), "checksum")
  yield "2^32_pixels_and_checksum", checksum, None
  yield "more_pixels_than_accepted", good, 17 * 33 - 1
  yield "payload_goes_on", _of_payload(good, payload + b"\1\2\3"), None
  yield "payload_of_junk", _of_payload(good, bytes(range(1, 100))), None
  yield "payload_and_zeros", with_zeros(good, zeros + 1), None


def _with_metadata(part, good):
  """Files with damage in the metadata, or behind them."""
  _, payload = altered.split(good)
  yield "metadata_header_less_1", part[: fields.header_size(fields.METADATA) - 1], None
  yield "metadata_less_1", part[:-1], None
  yield "metadata_alone", part, None
  yield "metadata_flipped", _flipped(part, -1) + good, None
  yield "metadata_sizes", altered.flipped(part, "exif_size", 3) + good, None
  yield "metadata_twice", part + part + good, None
  yield "metadata_and_junk", part + bytes(30), None
  yield "metadata_and_half_a_header", part + _half_a_header(good), None
  yield "metadata_and_less_1", part + good[:-1], None
  yield "metadata_and_one_more", part + good + b"\0", None
  yield "metadata_and_flipped_payload", part + _flipped(good, -1), None
  another = altered.with_field(good, "fingerprint", _ANOTHER_MODEL)
  yield "metadata_and_another_model", part + another, None
  yield "metadata_and_payload_goes_on", part + _of_payload(good, payload + b"\1\2\3"), None
  yield "metadata_flipped_and_less_1", _flipped(part, -1) + good[:-1], None


def _half_a_header(good):
  return good[: len(altered.cut_before(good, "width")) + 1]


def _flipped(data, at):
  at %= len(data)
  return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
