"""Takes files apart within a graph, with the checks and messages of `coding.bitstream`."""

from typing import NamedTuple, Union

import tensorflow as tf

from bmshj_minnen.coding import bitstream, packing
from bmshj_minnen.coding.bitstream import HEADER_SIZE, MAGIC, QUALITY_VERSION, VERSION
from bmshj_minnen.serving.octets import number
from bmshj_minnen.serving.refusal import refuse_if

__all__ = ["Parts", "problem", "unpack"]

_Text = Union[str, tf.Tensor]

_HEX = [f"{i:02x}" for i in range(256)]
# How Python shows bytes; quotes are seen to below.
_SHOWN = [repr(bytes([i]))[2:-1] for i in range(256)]


class Parts(NamedTuple):
  """What a file holds: its size, scalar int32 pixels, its quality, and its payload, a string.

  The quality is a scalar float32; it means nothing for models of one rate.
  """

  height: tf.Tensor
  width: tf.Tensor
  quality: tf.Tensor
  payload: tf.Tensor


class _Check(NamedTuple):
  """The arguments of a `BitstreamError`, and when it is due."""

  bad: tf.Tensor
  problem: str
  offset: tf.Tensor
  expected: _Text
  found: _Text


def unpack(
  data: tf.Tensor, where: tf.Tensor, fingerprint: bytes, max_pixels: int, has_quality: bool
) -> Parts:
  """Checks a file and takes it apart; nothing is allocated by what it says about itself.

  Args:
    data: scalar string, the whole file.
    where: scalar string that the message begins with.
    fingerprint: of the model that is to decode it.
    max_pixels: the largest image that is accepted.
    has_quality: whether it is a model for many rates.

  Raises:
    InvalidArgumentError: when run, with the message of `bitstream.unpack`.
  """
  length = tf.strings.length(data)
  version = QUALITY_VERSION if has_quality else VERSION
  size = bitstream.header_size(version)
  payload = tf.strings.substr(data, tf.minimum(size, length), length)
  # Zeros stand in for what is missing, so that every check can be computed.
  head = tf.strings.join([tf.strings.substr(data, 0, size), bytes(size)])
  head = tf.io.decode_raw(head, tf.uint8)[:size]
  height, width = number(head, 8, 2) + 1, number(head, 10, 2) + 1
  checks = [
    *_shape_checks(data, head, version),
    *([_quality_check(head)] if has_quality else []),
    _checksum_check(data, payload, head, size - 4),
    _fingerprint_check(fingerprint, head),
    _Check(
      height * width > max_pixels,
      "image too large",
      8,
      f"at most {max_pixels} pixels",
      tf.strings.join([_decimal(height), _decimal(width)], " rows of "),
    ),
  ]
  bad = tf.stack([check.bad for check in checks])
  texts = tf.stack([problem(*check[1:]) for check in checks])
  first = tf.argmax(bad)
  payload = refuse_if(tf.reduce_any(bad), [where, texts[first]], payload)
  with tf.control_dependencies([payload]):
    quality = packing.quality_of(head[HEADER_SIZE - 4])
    return Parts(tf.cast(height, tf.int32), tf.cast(width, tf.int32), quality, payload)


def problem(text: str, offset: tf.Tensor, expected: _Text, found: _Text) -> tf.Tensor:
  """The message of a `BitstreamError`, a scalar string."""
  return tf.strings.join(
    [text, " at byte ", _decimal(offset), ": expected ", expected, ", found ", found]
  )


def _shape_checks(data, head, version):
  """That it begins as files do and has the length that it says."""
  length = tf.cast(tf.strings.length(data), tf.int64)
  length_text = _decimal(length)
  header_size = bitstream.header_size(version)
  size = header_size + number(head, 12, 4)
  size_text = tf.strings.join([_decimal(size), " bytes"])
  begins = tf.strings.substr(data, 0, len(MAGIC))
  magic = tf.strings.substr(MAGIC, 0, tf.strings.length(begins))
  truncated = "truncated, or damaged length"
  return [
    _Check(length == 0, "the file is empty", 0, f"at least {HEADER_SIZE} bytes", "0"),
    _Check(begins != magic, "not a compressed image", 0, repr(MAGIC), _shown(begins)),
    _Check(
      (length > 3) & (head[3] != version),
      "another format version, or damage",
      3,
      str(version),
      _decimal(head[3]),
    ),
    _Check(length < header_size, "truncated header", length, f"{header_size} bytes", length_text),
    _Check(length < size, truncated, length, size_text, length_text),
    _Check(length > size, "trailing bytes, or damaged length", size, size_text, length_text),
  ]


def _quality_check(head):
  byte = tf.cast(head[HEADER_SIZE - 4], tf.int32)
  is_bad = (byte < 1) | (byte > bitstream.LAST_QUALITY_BYTE)
  expected = f"1 to {bitstream.LAST_QUALITY_BYTE}"
  return _Check(is_bad, "no such quality, or damage", HEADER_SIZE - 4, expected, _decimal(byte))


def _checksum_check(data, payload, head, at):
  expected = packing.checksum_of(tf.strings.join([tf.strings.substr(data, 0, at), payload]))
  expected = _hex(tf.io.decode_raw(expected, tf.uint8))
  found = _hex(head[at : at + 4])
  return _Check(expected != found, "damaged: wrong checksum", at, expected, found)


def _fingerprint_check(fingerprint, head):
  expected, found = fingerprint.hex(), _hex(head[4:8])
  return _Check(
    found != expected,
    "compressed with another model",
    4,
    f"fingerprint {expected}",
    found,
  )


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
