"""The file format: golden bytes, and an error for every way to damage them."""

import pickle

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.format import reading, writing
from bmshj_minnen.format.errors import BitstreamError, Problem
from bmshj_minnen.format.graph_writing import pack_graph
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.quality import QUALITIES

_FINGERPRINT = b"\x01\x02\x03\xff"
_PAYLOAD = b"payload\x00\xff"
# May change only together with the format version.
_GOLDEN = bytes.fromhex("424d4d01010203ff01ff000200000009df44d82f") + _PAYLOAD


_EXIF, _XMP = b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>"
# The same file with metadata.
_GOLDEN_METADATA = bytes.fromhex("424d4d046df55e000000000e00000004") + _EXIF + _XMP + _GOLDEN


def _pack(height=512, width=3, payload=_PAYLOAD):
  return writing.pack(_FINGERPRINT, height, width, payload)


def test_golden_bytes():
  assert _pack() == _GOLDEN


def test_graphs_give_the_same_bytes():
  scalar = tf.TensorSpec([], tf.int32)
  parts = (scalar, scalar, tf.TensorSpec([], tf.string))
  pack = tf.function(lambda *parts: pack_graph(_FINGERPRINT, *parts), parts)
  assert pack(512, 3, _PAYLOAD) == _GOLDEN
  for size, payload in [((1, 1), b""), ((65536, 256), bytes(range(256)) * 300)]:
    assert pack(*size, payload) == _pack(*size, payload)
  many = tf.function(
    lambda *parts: pack_graph(_FINGERPRINT, *parts), (*parts, tf.TensorSpec([], tf.float32))
  )
  for quality in QUALITIES:
    expected = writing.pack(_FINGERPRINT, 7, 9, b"x", quality)
    assert many(7, 9, b"x", quality) == expected
    assert reading.unpack(expected, _FINGERPRINT, has_quality=True)[0].quality == quality


@pytest.mark.parametrize("size", [(1, 1), (65536, 1), (255, 256), (1080, 1920)])
@pytest.mark.parametrize("payload", [b"", b"\x00" * 300, bytes(range(256)) * 300])
def test_round_trip(size, payload):
  header, found = reading.unpack(_pack(*size, payload), _FINGERPRINT)
  assert (header.height, header.width, found) == (*size, payload)
  assert header.fingerprint == _FINGERPRINT


def test_whatever_holds_bytes_is_read():
  for kind in (bytearray, memoryview):
    header, payload = reading.unpack(kind(_GOLDEN), _FINGERPRINT)
    assert (header.width, payload) == (3, _PAYLOAD)
  for wrong in ("photo.tfci", None, np.frombuffer(_GOLDEN, np.uint8)):
    with pytest.raises(TypeError, match="expected the bytes of a file"):
      reading.unpack(wrong, _FINGERPRINT)


@pytest.mark.parametrize("length", range(len(_GOLDEN)))
def test_every_truncation_is_named(length):
  with pytest.raises(BitstreamError, match="truncated|empty") as info:
    reading.unpack(_GOLDEN[:length], _FINGERPRINT)
  assert info.value.offset == length


@pytest.mark.parametrize("bit", range(8 * len(_GOLDEN)))
def test_every_flipped_bit_raises(bit):
  data = bytearray(_GOLDEN)
  data[bit // 8] ^= 1 << bit % 8
  with pytest.raises(BitstreamError):
    reading.unpack(bytes(data), _FINGERPRINT)
  with pytest.raises(BitstreamError):  # With any model.
    reading.parse_intact(bytes(data))


@pytest.mark.parametrize(
  ("data", "match"),
  [
    (b"", "empty"),
    (b"\x89PNG\r\n\x1a\n" + bytes(40), "not a compressed image"),
    (_GOLDEN + b"\x00", "trailing"),
    (_GOLDEN[:3] + b"\x02" + _GOLDEN[4:], "version"),
    (_GOLDEN[:3] + b"\x03" + _GOLDEN[4:], "version"),
  ],
)
def test_errors_name_the_cause_on_one_line(data, match):
  with pytest.raises(BitstreamError, match=match) as info:
    reading.unpack(data, _FINGERPRINT)
  assert "\n" not in str(info.value)


def test_errors_travel_between_processes_whole():
  with pytest.raises(BitstreamError) as info:
    reading.unpack(_GOLDEN + b"x", _FINGERPRINT)
  copy = pickle.loads(pickle.dumps(info.value))
  assert type(copy) is BitstreamError and str(copy) == str(info.value)
  found = (copy.problem, copy.offset, copy.expected, copy.found)
  assert found == (Problem.TRAILING_BYTES, 29, "29 bytes", 30)


def test_another_model_is_told_from_damage():
  with pytest.raises(BitstreamError, match="another model") as info:
    reading.unpack(_GOLDEN, b"\x00\x00\x00\x00")
  assert (info.value.offset, info.value.found) == (4, "010203ff")


def test_the_declared_size_is_bounded():
  data = _pack(65536, 65536, b"")
  with pytest.raises(BitstreamError, match="too large"):
    reading.unpack(data, _FINGERPRINT)
  assert reading.unpack(data, _FINGERPRINT, max_pixels=2**32)[0].height == 65536


def test_random_bytes_never_pass():
  generator = np.random.default_rng(0)
  for _ in range(200):
    data = _GOLDEN[:4] + generator.bytes(int(generator.integers(0, 60)))
    with pytest.raises(BitstreamError):
      reading.unpack(data, _FINGERPRINT)


def test_metadata_stand_before_a_file_that_stays_as_it_is():
  assert with_metadata(_GOLDEN, _EXIF, _XMP) == _GOLDEN_METADATA
  assert with_metadata(_GOLDEN, b"", b"") == _GOLDEN
  checked = _GOLDEN_METADATA[:4] + bytes(4) + _GOLDEN_METADATA[8 : -len(_GOLDEN)]
  assert tf.fingerprint([checked]).numpy()[0, :4].tobytes() == _GOLDEN_METADATA[4:8]
  header, payload = reading.unpack(_GOLDEN_METADATA, _FINGERPRINT)
  assert (header.exif, header.xmp, payload) == (_EXIF, _XMP, _PAYLOAD)
  assert (header.start, header.size) == (34, 20)
  plain, _ = reading.unpack(_GOLDEN, _FINGERPRINT)
  assert (plain.exif, plain.xmp, plain.start) == (b"", b"", 0)
  assert (plain.width, plain.checksum) == (header.width, header.checksum)


@pytest.mark.parametrize("metadata", [(b"x", b""), (b"", b"x"), (b"x" * 70_000, b"y" * 70_000)])
def test_metadata_of_any_length_come_back(metadata):
  data = with_metadata(_GOLDEN, *metadata)
  header, payload = reading.parse_intact(data)
  assert ((header.exif, header.xmp), payload) == (metadata, _PAYLOAD)
  assert reading.is_start_of_file(data[:16])


@pytest.mark.parametrize("length", range(len(_GOLDEN_METADATA)))
def test_every_truncation_of_metadata_is_named(length):
  with pytest.raises(BitstreamError, match="truncated|empty|no picture") as info:
    reading.unpack(_GOLDEN_METADATA[:length], _FINGERPRINT)
  assert info.value.offset == length


@pytest.mark.parametrize("bit", range(8 * len(_GOLDEN_METADATA)))
def test_every_flipped_bit_of_metadata_raises(bit):
  data = bytearray(_GOLDEN_METADATA)
  data[bit // 8] ^= 1 << bit % 8
  with pytest.raises(BitstreamError):
    reading.parse_intact(bytes(data))


def test_errors_behind_metadata_name_their_place_in_the_file():
  twice = with_metadata(_GOLDEN_METADATA, _EXIF, _XMP)
  for data, offset, match in [
    (_GOLDEN_METADATA + b"x", 63, "trailing"),
    (_GOLDEN_METADATA[:34] + b"x" + _GOLDEN_METADATA[35:], 34, "not a compressed image"),
    (_GOLDEN_METADATA[:-1] + b"x", 34 + 16, "wrong checksum"),
    (_GOLDEN_METADATA[:20] + b"x" + _GOLDEN_METADATA[21:], 4, "metadata"),
    (twice, 37, "version"),
  ]:
    with pytest.raises(BitstreamError, match=match) as info:
      reading.unpack(data, _FINGERPRINT)
    assert info.value.offset == offset
  with pytest.raises(BitstreamError, match="another model") as info:
    reading.unpack(_GOLDEN_METADATA, bytes(4))
  assert info.value.offset == 34 + 4
