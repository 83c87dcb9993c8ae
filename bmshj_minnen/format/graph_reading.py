"""Takes files apart within graphs, with the checks and messages of `reading`."""

from typing import NamedTuple, Union

import tensorflow as tf

from bmshj_minnen.format import fields
from bmshj_minnen.format.errors import Problem
from bmshj_minnen.format.fields import METADATA
from bmshj_minnen.format.graph_writing import checksum_graph
from bmshj_minnen.format.writing import version_of
from bmshj_minnen.quality import BYTES, QUALITIES

__all__ = ["Parts", "Refusal", "message_graph", "unpack_graph"]

_Text = Union[str, tf.Tensor]

_HEX = [f"{i:02x}" for i in range(256)]
# The `repr` of each byte in Python; `_shown` treats quotes.
_SHOWN = [repr(bytes([i]))[2:-1] for i in range(256)]


class Parts(NamedTuple):
  """The content of a file without metadata: scalar tensors.

  Attributes:
    height, width: int32, pixels.
    quality: float32; without meaning for models for one rate.
    payload: string.
    payload_start: int64, the place in the file where the payload begins, in bytes.
  """

  height: tf.Tensor
  width: tf.Tensor
  quality: tf.Tensor
  payload: tf.Tensor
  payload_start: tf.Tensor


class Refusal(NamedTuple):
  """Whether a file must be refused, scalar bool, and the reason, scalar string."""

  is_due: tf.Tensor
  message: tf.Tensor


class _Check(NamedTuple):
  """The arguments of a `BitstreamError`, and `bad`: whether it must be raised."""

  bad: tf.Tensor
  problem: Problem
  offset: tf.Tensor
  expected: _Text
  found: _Text


class _Header:
  """The fields of a header of one format version; zeros stand in for missing bytes.

  Attributes:
    version: the expected format version.
    start: scalar int64, the place in the file where the header begins.
    end: scalar int64, the place where it ends.
    values: name -> scalar int64 for numbers, [size] uint8 for bytes.
  """

  def __init__(self, data, version, start):
    self.version, self.start = version, start
    size = fields.header_size(version)
    self.end = start + size
    octets = tf.strings.join([_part(data, start, self.end), bytes(size)])
    octets, begin, self.values = tf.io.decode_raw(octets, tf.uint8), 0, {}
    for field in fields.of_version(version):
      part = octets[begin : begin + field.size]
      begin += field.size
      self.values[field.name] = (
        part if field.least is None else field.least + _number(part, field.size)
      )

  def offset(self, name):
    return self.start + fields.offset(name, self.version)


def unpack_graph(
  data: tf.Tensor, fingerprint: bytes, max_pixels: int, has_quality: bool
) -> tuple[Parts, Refusal]:
  """Checks a file and takes it apart; allocates nothing by the sizes that the file declares.

  Args:
    data: scalar string, the whole file.
    fingerprint: 4 bytes, the fingerprint of the model that is to decode the file.
    max_pixels: the largest image that is accepted, in pixels.
    has_quality: whether the model is for many rates.

  Returns:
    The parts, which may be used only if the file is not refused, and the refusal, with the message
    of `reading.unpack`.
  """
  start, metadata_checks = _metadata(data)
  header = _Header(data, version_of(has_quality), start)
  payload = _part(data, header.end, _length(data))
  height, width = header.values["height"], header.values["width"]
  checks = [
    *metadata_checks,
    *_shape_checks(data, header),
    *([_quality_check(header)] if has_quality else []),
    _checksum_check(data, payload, header),
    _fingerprint_check(fingerprint, header),
    _Check(
      height * width > max_pixels,
      Problem.TOO_LARGE,
      header.offset("height"),
      f"at most {max_pixels} pixels",
      tf.strings.join([_decimal(height), _decimal(width)], " rows of "),
    ),
  ]
  bad = tf.stack([check.bad for check in checks])
  messages = tf.stack([message_graph(*check[1:]) for check in checks])
  refusal = Refusal(tf.reduce_any(bad), messages[tf.argmax(bad)])
  quality = 0.0
  if has_quality:  # Any other byte has been refused.
    index = tf.argmax(tf.constant(BYTES, tf.int64) == header.values["quality"])
    quality = tf.gather(QUALITIES, index)
  sizes = (tf.cast(side, tf.int32) for side in (height, width))
  return Parts(*sizes, tf.cast(quality, tf.float32), payload, header.end), refusal


def message_graph(problem: Problem, offset: tf.Tensor, expected: _Text, found: _Text) -> tf.Tensor:
  """The message of a `BitstreamError`, a scalar string."""
  return tf.strings.join(
    [problem.value, " at byte ", _decimal(offset), ": expected ", expected, ", found ", found]
  )


def _metadata(data):
  """The place where the image begins, and the checks of the metadata before it."""
  header = _Header(data, METADATA, tf.constant(0, tf.int64))
  is_there = _part(data, 0, len(fields.MAGIC) + 1) == fields.MAGIC + bytes([METADATA])
  end = header.end + header.values["exif_size"] + header.values["xmp_size"]
  start, length = tf.where(is_there, end, 0), _length(data)
  where, size = fields.offset("metadata_checksum", METADATA), fields.field("metadata_checksum").size
  covered = [_part(data, 0, where), bytes(size), _part(data, where + size, start)]
  expected = _hex(tf.io.decode_raw(checksum_graph(tf.strings.join(covered)), tf.uint8))
  found = _hex(header.values["metadata_checksum"])
  length_text, end_text = _decimal(length), tf.strings.join(["more than ", _decimal(end), " bytes"])
  truncated = Problem.TRUNCATED_METADATA
  return start, [
    _Check(
      is_there & (length < header.end),
      truncated,
      length,
      f"{fields.header_size(METADATA)} bytes",
      length_text,
    ),
    _Check(is_there & (length < end), truncated, length, end_text, length_text),
    _Check(is_there & (expected != found), Problem.DAMAGED_METADATA, where, expected, found),
  ]


def _shape_checks(data, header):
  """The checks that a file begins correctly and has the length that it declares."""
  length, start, head = _length(data), header.start, header.end
  length_text = _decimal(length)
  size = head + header.values["payload_size"]
  head_text, size_text = (tf.strings.join([_decimal(n), " bytes"]) for n in (head, size))
  begins = _part(data, start, start + len(fields.MAGIC))
  magic = tf.strings.substr(fields.MAGIC, 0, tf.strings.length(begins))
  version, where = header.values["version"], header.offset("version")
  least = f"at least {fields.header_size(fields.ONE_RATE)} bytes"
  return [
    _Check(length == 0, Problem.EMPTY, 0, least, "0"),
    _Check(length == start, Problem.NO_PICTURE, start, least, "0"),
    _Check(begins != magic, Problem.NOT_COMPRESSED, start, repr(fields.MAGIC), _shown(begins)),
    _Check(
      (length > where) & (version != header.version),
      Problem.VERSION,
      where,
      str(header.version),
      _decimal(version),
    ),
    _Check(length < head, Problem.TRUNCATED_HEADER, length, head_text, length_text),
    _Check(length < size, Problem.TRUNCATED, length, size_text, length_text),
    _Check(length > size, Problem.TRAILING_BYTES, size, size_text, length_text),
  ]


def _quality_check(header):
  byte = header.values["quality"]
  is_bad = tf.reduce_all(byte != tf.constant(BYTES, tf.int64))
  expected = f"{min(BYTES)} to {max(BYTES)}"
  return _Check(is_bad, Problem.QUALITY, header.offset("quality"), expected, _decimal(byte))


def _checksum_check(data, payload, header):
  where = header.offset("checksum")
  covered = tf.strings.join([_part(data, header.start, where), payload])
  expected = _hex(tf.io.decode_raw(checksum_graph(covered), tf.uint8))
  found = _hex(header.values["checksum"])
  return _Check(expected != found, Problem.CHECKSUM, where, expected, found)


def _fingerprint_check(fingerprint, header):
  expected, found = fingerprint.hex(), _hex(header.values["fingerprint"])
  return _Check(
    found != expected,
    Problem.MODEL,
    header.offset("fingerprint"),
    f"fingerprint {expected}",
    found,
  )


def _length(data):
  return tf.cast(tf.strings.length(data), tf.int64)


def _part(data, begin, end):
  """The existing bytes from `begin` to before `end` of a scalar string."""
  begin, end = (tf.minimum(tf.cast(at, tf.int64), _length(data)) for at in (begin, end))
  return tf.strings.substr(data, begin, tf.maximum(end - begin, 0))


def _number(octets, size):
  """Big-endian bytes [size] -> scalar int64."""
  places = tf.constant([256**place for place in reversed(range(size))], tf.int64)
  return tf.reduce_sum(tf.cast(octets, tf.int64) * places)


def _decimal(number):
  return tf.strings.as_string(number)


def _hex(codes):
  return tf.strings.reduce_join(tf.gather(_HEX, tf.cast(codes, tf.int32)))


def _shown(data):
  """The `repr` of a scalar string of bytes."""
  codes = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
  text = tf.strings.reduce_join(tf.gather(_SHOWN, codes))
  single, double = (tf.reduce_any(codes == ord(quote)) for quote in "'\"")
  quote = tf.where(single & ~double, '"', "'")
  text = tf.where(single & double, tf.strings.regex_replace(text, "'", r"\\'"), text)
  return tf.strings.join(["b", quote, text, quote])
