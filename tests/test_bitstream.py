"""The container: golden bytes, and an error for every way to damage them."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.coding import bitstream, packing
from bmshj_minnen.coding.bitstream import BitstreamError

_FINGERPRINT = b"\x01\x02\x03\xff"
_PAYLOAD = b"payload\x00\xff"
# May change only together with `bitstream.VERSION`.
_GOLDEN = bytes.fromhex("424d4d01010203ff01ff000200000009df44d82f") + _PAYLOAD


_EXIF, _XMP = b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x/>"
# The same file with metadata.
_GOLDEN_METADATA = bytes.fromhex("424d4d046df55e000000000e00000004") + _EXIF + _XMP + _GOLDEN


def _pack(height=512, width=3, payload=_PAYLOAD):
  return packing.pack(
    _FINGERPRINT, tf.constant(height), tf.constant(width), tf.constant(payload)
  ).numpy()


def test_golden_bytes():
  assert _pack() == _GOLDEN


def test_graph_gives_the_same_bytes():
  pack = tf.function(packing.pack)
  assert pack(_FINGERPRINT, tf.constant(512), tf.constant(3), tf.constant(_PAYLOAD)) == _GOLDEN


@pytest.mark.parametrize("size", [(1, 1), (65536, 1), (255, 256), (1080, 1920)])
@pytest.mark.parametrize("payload", [b"", b"\x00" * 300, bytes(range(256)) * 300])
def test_round_trip(size, payload):
  header, found = bitstream.unpack(_pack(*size, payload), _FINGERPRINT)
  assert (header.height, header.width, found) == (*size, payload)
  assert header.fingerprint == _FINGERPRINT


def test_whatever_holds_bytes_is_read():
  for kind in (bytearray, memoryview):
    header, payload = bitstream.unpack(kind(_GOLDEN), _FINGERPRINT)
    assert (header.width, payload) == (3, _PAYLOAD)
  for wrong in ("photo.tfci", None, np.frombuffer(_GOLDEN, np.uint8)):
    with pytest.raises(TypeError, match="expected the bytes of a file"):
      bitstream.unpack(wrong, _FINGERPRINT)


@pytest.mark.parametrize("length", range(len(_GOLDEN)))
def test_every_truncation_is_named(length):
  with pytest.raises(BitstreamError, match="truncated|empty") as info:
    bitstream.unpack(_GOLDEN[:length], _FINGERPRINT)
  assert info.value.offset == length


@pytest.mark.parametrize("bit", range(8 * len(_GOLDEN)))
def test_every_flipped_bit_raises(bit):
  data = bytearray(_GOLDEN)
  data[bit // 8] ^= 1 << bit % 8
  with pytest.raises(BitstreamError):
    bitstream.unpack(bytes(data), _FINGERPRINT)
  with pytest.raises(BitstreamError):  # Whatever model it is of.
    bitstream.parse_intact(bytes(data))


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
    bitstream.unpack(data, _FINGERPRINT)
  assert "\n" not in str(info.value)


def test_another_model_is_told_from_damage():
  with pytest.raises(BitstreamError, match="another model") as info:
    bitstream.unpack(_GOLDEN, b"\x00\x00\x00\x00")
  assert (info.value.offset, info.value.found) == (4, "010203ff")


def test_the_declared_size_is_bounded():
  data = _pack(65536, 65536, b"")
  with pytest.raises(BitstreamError, match="too large"):
    bitstream.unpack(data, _FINGERPRINT)
  assert bitstream.unpack(data, _FINGERPRINT, max_pixels=2**32)[0].height == 65536


def test_random_bytes_never_pass():
  generator = np.random.default_rng(0)
  for _ in range(200):
    data = _GOLDEN[:4] + generator.bytes(int(generator.integers(0, 60)))
    with pytest.raises(BitstreamError):
      bitstream.unpack(data, _FINGERPRINT)


def test_metadata_stand_before_a_file_that_stays_as_it_is():
  assert bitstream.with_metadata(_GOLDEN, _EXIF, _XMP) == _GOLDEN_METADATA
  assert bitstream.with_metadata(_GOLDEN, b"", b"") == _GOLDEN
  checked = _GOLDEN_METADATA[:4] + bytes(4) + _GOLDEN_METADATA[8 : -len(_GOLDEN)]
  assert tf.fingerprint([checked]).numpy()[0, :4].tobytes() == _GOLDEN_METADATA[4:8]
  header, payload = bitstream.unpack(_GOLDEN_METADATA, _FINGERPRINT)
  assert (header.exif, header.xmp, payload) == (_EXIF, _XMP, _PAYLOAD)
  assert (header.start, header.size) == (34, 20)
  plain, _ = bitstream.unpack(_GOLDEN, _FINGERPRINT)
  assert (plain.exif, plain.xmp, plain.start) == (b"", b"", 0)
  assert (plain.width, plain.checksum) == (header.width, header.checksum)


@pytest.mark.parametrize("metadata", [(b"x", b""), (b"", b"x"), (b"x" * 70_000, b"y" * 70_000)])
def test_metadata_of_any_length_come_back(metadata):
  data = bitstream.with_metadata(_GOLDEN, *metadata)
  header, payload = bitstream.parse_intact(data)
  assert ((header.exif, header.xmp), payload) == (metadata, _PAYLOAD)
  assert bitstream.is_start_of_file(data[:16])


@pytest.mark.parametrize("length", range(len(_GOLDEN_METADATA)))
def test_every_truncation_of_metadata_is_named(length):
  with pytest.raises(BitstreamError, match="truncated|empty|no picture") as info:
    bitstream.unpack(_GOLDEN_METADATA[:length], _FINGERPRINT)
  assert info.value.offset == length


@pytest.mark.parametrize("bit", range(8 * len(_GOLDEN_METADATA)))
def test_every_flipped_bit_of_metadata_raises(bit):
  data = bytearray(_GOLDEN_METADATA)
  data[bit // 8] ^= 1 << bit % 8
  with pytest.raises(BitstreamError):
    bitstream.parse_intact(bytes(data))


def test_errors_behind_metadata_name_their_place_in_the_file():
  twice = bitstream.with_metadata(_GOLDEN_METADATA, _EXIF, _XMP)
  for data, offset, match in [
    (_GOLDEN_METADATA + b"x", 63, "trailing"),
    (_GOLDEN_METADATA[:34] + b"x" + _GOLDEN_METADATA[35:], 34, "not a compressed image"),
    (_GOLDEN_METADATA[:-1] + b"x", 34 + 16, "wrong checksum"),
    (_GOLDEN_METADATA[:20] + b"x" + _GOLDEN_METADATA[21:], 4, "metadata"),
    (twice, 37, "version"),
  ]:
    with pytest.raises(BitstreamError, match=match) as info:
      bitstream.unpack(data, _FINGERPRINT)
    assert info.value.offset == offset
  with pytest.raises(BitstreamError, match="another model") as info:
    bitstream.unpack(_GOLDEN_METADATA, bytes(4))
  assert info.value.offset == 34 + 4
