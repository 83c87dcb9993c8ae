"""Files that must be refused, made from a good one."""

from collections.abc import Iterator
from typing import Optional

from bmshj_minnen.format import fields

__all__ = ["files"]


def files(good: bytes, with_metadata: bytes) -> Iterator[tuple[str, bytes, Optional[int]]]:
  """Kind, file, and the most pixels that are accepted if these are fewer than by default.

  Args:
    good: a file without metadata, of at least two pixels, with a payload of a few bytes.
    with_metadata: the same with metadata.
  """
  version = good[3]
  size, check = fields.header_size(version), fields.offset("checksum", version)
  head, payload = good[:check], good[size:]
  part = with_metadata[: -len(good)]

  def changed(name, value, payload=payload):
    """Another value of a field, and a checksum that is right."""
    at = fields.offset(name, version)
    return _sealed(head[:at] + value + head[at + len(value) :], payload)

  def of_length(payload):
    return changed("payload_size", len(payload).to_bytes(4, "big"), payload)

  yield "empty", b"", None
  yield "png", b"\x89PNG\r\n\x1a\n" + bytes(40), None
  yield "magic", b"BMX" + good[3:], None
  yield "version_0", good[:3] + b"\0" + good[4:], None
  yield "version_3", good[:3] + b"\3" + good[4:], None
  yield "other_version", good[:3] + bytes([3 - version]) + good[4:], None
  yield "magic_alone", good[:3], None
  yield "half_a_header", good[:11], None
  yield "header_less_1", good[: size - 1], None
  yield "header_alone", good[:size], None
  yield "less_1", good[:-1], None
  yield "one_more", good + b"\0", None
  yield "payload_size", changed("payload_size", b"\xff" * 4), None
  if version == fields.MANY_RATES:
    for byte in (0, 200, 255):
      yield f"quality_{byte}", changed("quality", bytes([byte])), None
  for name in ("fingerprint", "height", "checksum"):
    at = fields.offset(name, version)
    yield f"flipped_{name}", _flipped(good, at + 1), None
  yield "flipped_payload", _flipped(good, len(good) - 1), None
  yield "another_model", changed("fingerprint", b"\0\1\2\3"), None
  yield "2^32_pixels", changed("height", b"\xff" * 4), None
  yield "more_pixels_than_accepted", good, 17 * 33 - 1
  yield "payload_goes_on", of_length(payload + b"\1\2\3"), None
  yield "payload_of_junk", of_length(bytes(range(1, 100))), None
  yield "metadata_header_less_1", part[: fields.header_size(fields.METADATA) - 1], None
  yield "metadata_less_1", part[:-1], None
  yield "metadata_alone", part, None
  yield "metadata_flipped", _flipped(with_metadata, len(part) - 1), None
  exif_size = fields.offset("exif_size", fields.METADATA)
  yield "metadata_sizes", _flipped(with_metadata, exif_size + 3), None
  yield "metadata_twice", part + with_metadata, None
  yield "metadata_and_junk", part + bytes(30), None
  yield "metadata_and_half_a_header", part + good[:11], None
  yield "metadata_and_less_1", part + good[:-1], None
  yield "metadata_and_one_more", part + good + b"\0", None
  yield "metadata_and_flipped_payload", part + _flipped(good, len(good) - 1), None
  yield "metadata_and_another_model", part + changed("fingerprint", b"\0\1\2\3"), None
  yield "metadata_and_payload_goes_on", part + of_length(payload + b"\1\2\3"), None


def _sealed(head, payload):
  return head + fields.checksum(head + payload) + payload


def _flipped(data, at):
  return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]
