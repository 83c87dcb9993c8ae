"""The range coder in Python reads its own output, and ends with the last symbol."""

import numpy as np
import pytest

from bmshj_minnen.coding.range_coder import Encoder, RangeCoder
from bmshj_minnen.format.tables import MAX_VALUE, PRECISION, Tables, concatenate

_WHOLE = 2**PRECISION


def _table(probabilities, offset):
  """A table whose escape has the smallest probability."""
  steps = np.maximum(1, np.asarray(probabilities)).astype(np.int64)
  steps[np.argmax(steps)] += _WHOLE - 1 - steps.sum()
  cdf = np.concatenate([[PRECISION, 0], np.cumsum(steps), [_WHOLE]])
  return Tables(
    cdf.astype(np.int32), np.array([offset], np.int32), np.array([len(steps)], np.int32)
  )


@pytest.fixture(scope="module")
def tables():
  random = np.random.default_rng(0)
  flat = _table(np.full(200, 300), -100)
  steep = _table([1, 1, _WHOLE, 1], -2)
  single = _table([_WHOLE], 5)
  learned = [_table(_WHOLE * random.dirichlet(np.ones(n)), -n // 2) for n in (2, 17, 900)]
  return concatenate([flat, steep, single, *learned])


def _symbols(tables, random, count):
  index = random.integers(0, len(tables.offset), count).astype(np.int32)
  kind = random.integers(0, 4, count)
  inside = tables.offset[index] + random.integers(0, tables.escape[index])
  value = np.where(kind < 3, inside, random.integers(-MAX_VALUE, MAX_VALUE + 1, count))
  return index, value.astype(np.int32)


def _encode(coder, pushes):
  handle = coder.start_encoder()
  for index, value in pushes:
    handle = coder.push(handle, index, value)
  return coder.finish_encoder(handle)


def _decode(coder, data, pushes):
  handle, values = coder.start_decoder(data), []
  for index, _ in pushes:
    handle, value = coder.pop(handle, index)
    values.append(value)
  return values, coder.finish_decoder(handle)


@pytest.mark.parametrize("seed", range(20))
def test_values_come_back_and_the_end_is_seen(tables, seed):
  random, coder = np.random.default_rng(seed), RangeCoder(tables)
  pushes = [_symbols(tables, random, random.integers(0, 50)) for _ in range(seed % 4)]
  data = _encode(coder, pushes)
  values, whole = _decode(coder, data, pushes)
  assert whole
  for value, (_, expected) in zip(values, pushes):
    assert value.dtype == np.int32
    np.testing.assert_array_equal(value, expected)
  assert not _decode(coder, data + b"\1", pushes)[1]


def test_a_carry_that_waits_through_many_words_arrives(tables):
  """Both ways: intervals around a power of two that end above or below it."""
  half = [0, _WHOLE // 2 - 1, _WHOLE // 2 + 1, _WHOLE]  # Three symbols.
  for last in (0, 2):
    coder, symbols = Encoder(), []
    for _ in range(60):
      # Repeats the symbol whose interval contains the middle of the whole.
      coder.encode([half[1]], [half[2]])
      symbols.append(1)
    assert len(coder.words) > 3 and coder.low + coder.size > 2**32
    coder.encode([half[last]], [half[last + 1]])
    value = int.from_bytes(coder.finish() + bytes(400), "big")
    # The interval as exact fractions.
    low, size, unit = 0, 2**32, 8 * (len(coder.finish()) + 400)
    shift = 0
    for symbol in [*symbols, last]:
      begin = size * half[symbol] >> 16
      size = (size * half[symbol + 1] >> 16) - begin
      low += begin
      if size <= 2**16:
        low, size, shift = low << 16, size << 16, shift + 16
    scale = unit - 32 - shift
    assert low << scale <= value < low + size << scale


def test_any_bytes_give_values_in_bounds(tables):
  random, coder = np.random.default_rng(1), RangeCoder(tables)
  for size in (0, 1, 2, 3, 4, 5, 50):
    for data in (bytes(size), b"\xff" * size, random.bytes(size)):
      index, _ = _symbols(tables, random, 500)
      _, value = coder.pop(coder.start_decoder(data), index)
      assert np.abs(value).max() <= 2**15
