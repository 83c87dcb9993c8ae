"""Integers <-> bytes without TensorFlow: `entropy.range_coder` in Python, with the same bytes.

A coder holds an interval of 32-bit integers, [low, low + size). Each symbol reduces it to a part in
proportion to the probability of the symbol. Whenever size falls to 2^16 or less, the two high bytes
of low are moved out (G. N. N. Martin, "Range encoding", 1979).
"""

import bisect

import numpy as np

from bmshj_minnen.format.tables import BYTE_TABLE, ESCAPE_OFFSET, PRECISION, Tables, concatenate

__all__ = ["Decoder", "Encoder", "RangeCoder"]

_WORD = 2**16
_WHOLE = 2**32


class Encoder:
  """The state of an encoder.

  Attributes:
    low, size: the interval. `low` may be 2^32 or more, until the carry is added to the words.
    words: the numbers that were moved out, two bytes each, or a carry more.
  """

  def __init__(self):
    self.low, self.size = 0, _WHOLE
    self.words: list[int] = []

  def encode(self, lower: list[int], upper: list[int]) -> None:
    """Narrows the interval once for each symbol.

    Args:
      lower, upper: the cumulative probabilities before and behind each symbol, in units of 2^-16.
    """
    low, size, append = self.low, self.size, self.words.append
    for first, last in zip(lower, upper):
      begin = size * first >> PRECISION
      size = (size * last >> PRECISION) - begin
      low += begin
      if size <= _WORD:
        append(low >> 16)
        low = low % _WORD << 16
        size <<= 16
    self.low, self.size = low, size

  def finish(self) -> bytes:
    """All bytes, without zeros at the end of the last number."""
    carry, low = divmod(self.low, _WHOLE)
    if low + self.size > _WHOLE:  # The last number is 2^32, all of whose low bytes are zeros.
      return self._joined(carry + 1).rstrip(b"\0")
    value, length = _last_number(low, self.size)
    return self._joined(carry) + value.to_bytes(4, "big")[:length]

  def _joined(self, carry):
    words = np.empty(len(self.words), ">u2")
    for i in reversed(range(len(words))):
      carry, words[i] = divmod(self.words[i] + carry, _WORD)
    return words.tobytes()


class Decoder:
  """The state of a decoder of any bytes.

  Attributes:
    size: size of the interval.
    offset: the number in the bytes, counted from the start of the interval.
    position: number of words of two bytes that were read; zeros follow the last word.
  """

  def __init__(self, data: bytes):
    self._words = np.frombuffer(data + bytes(len(data) % 2), ">u2").astype(np.uint16).data
    self.size, self.position = _WHOLE, 2
    self.offset = self._number()

  def decode(self, tables: list[tuple[int, int, int, list[int]]]) -> list[int]:
    """Decodes one symbol with each table.

    Args:
      tables: for each symbol the cumulative probabilities before and behind the likeliest symbol,
        the likeliest symbol, and all cumulative probabilities from 0 to 2^16.
    """
    size, offset, position, words = self.size, self.offset, self.position, self._words
    symbols, end_of_words = [], len(words)
    append, search = symbols.append, bisect.bisect_right
    for lower, upper, symbol, cdf in tables:
      begin = size * lower >> PRECISION
      end = size * upper >> PRECISION
      if not begin <= offset < end:
        # The last part that begins at or before the offset.
        symbol = search(cdf, (offset << PRECISION | _WORD - 1) // size) - 1
        begin = size * cdf[symbol] >> PRECISION
        end = size * cdf[symbol + 1] >> PRECISION
      append(symbol)
      offset -= begin
      size = end - begin
      if size <= _WORD:
        size <<= 16
        offset = offset << 16 | (words[position] if position < end_of_words else 0)
        position += 1
    self.size, self.offset, self.position = size, offset, position
    return symbols

  def finish(self) -> bool:
    """Whether the bytes end where an encoder of these symbols would have ended them."""
    value = self._number()
    low = (value - self.offset) % _WHOLE
    return self.position >= len(self._words) and value == _last_number(low, self.size)[0]

  def _number(self):
    """The last four bytes that were read, as a number."""
    high, low = (
      self._words[i] if i < len(self._words) else 0 for i in (self.position - 2, self.position - 1)
    )
    return high << 16 | low


def _last_number(low: int, size: int) -> tuple[int, int]:
  """The last number of an encoder, modulo 2^32, and the number of its bytes that are written."""
  if low == 0 or low + size > _WHOLE:
    return 0, 0
  for length in (1, 2):
    unit = 2 ** (32 - 8 * length)
    value = -(-low // unit) * unit
    if value < low + size:
      break
  return value, length


class RangeCoder:
  """Codes integers with given tables, as `entropy.range_coder.RangeCoder` does.

  Arrays take the place of tensors. `push` and `pop` change the handle in place.
  """

  def __init__(self, tables: Tables):
    self._byte = len(tables.offset)
    both = concatenate([tables, BYTE_TABLE])
    self._cdf, self._offset, self._escape = both.cdf, both.offset, both.escape
    # Each table is its precision, then its probabilities; the escape comes last.
    lengths = both.escape + 3
    self._first = np.cumsum(lengths) - lengths + 1
    self._tables = [
      _with_likeliest(both.cdf[first : first + length - 1])
      for first, length in zip(self._first, lengths)
    ]

  def start_encoder(self) -> Encoder:
    """A handle to which symbols are pushed."""
    return Encoder()

  def start_decoder(self, data: bytes) -> Decoder:
    """A handle from which symbols are popped."""
    return Decoder(data)

  def push(self, handle: Encoder, table_index: np.ndarray, value: np.ndarray) -> Encoder:
    """Appends values, then repeats the values outside their tables in two bytes each.

    Args:
      handle: an encoder, which is changed.
      table_index: [n] int32.
      value: [n] int32 in -MAX_VALUE..MAX_VALUE.

    Returns:
      The handle.
    """
    symbol, escape = value - self._offset[table_index], self._escape[table_index]
    outlier = (symbol < 0) | (symbol >= escape)
    self._encode(handle, table_index, np.where(outlier, escape, symbol))
    if outlier.any():
      wide = value[outlier] + ESCAPE_OFFSET
      wide = np.stack([wide // 256, wide % 256], -1).reshape(-1)
      self._encode(handle, self._byte, wide)
    return handle

  def _encode(self, handle, table_index, symbol):
    where = self._first[table_index] + symbol
    handle.encode(self._cdf[where].tolist(), self._cdf[where + 1].tolist())

  def pop(self, handle: Decoder, table_index: np.ndarray) -> tuple[Decoder, np.ndarray]:
    """Reads the values that `push` appended for the same tables.

    Args:
      handle: a decoder, which is changed.
      table_index: [n] int32.

    Returns:
      The handle and [n] int32 values.
    """
    tables = self._tables
    symbol = np.array(handle.decode([tables[i] for i in table_index.tolist()]), np.int32)
    value = symbol + self._offset[table_index]
    where = np.flatnonzero(symbol == self._escape[table_index])
    if len(where):
      wide = np.array(handle.decode([tables[self._byte]] * 2 * len(where)), np.int32)
      value[where] = wide[::2] * 256 + wide[1::2] - ESCAPE_OFFSET
    return handle, value

  def finish_encoder(self, handle: Encoder) -> bytes:
    """The bytes of all symbols that were pushed."""
    return handle.finish()

  def finish_decoder(self, handle: Decoder) -> bool:
    """Whether all bytes were used; a weak check: the container has a checksum."""
    return handle.finish()


def _with_likeliest(cdf):
  symbol = int(np.argmax(np.diff(cdf)))
  return int(cdf[symbol]), int(cdf[symbol + 1]), symbol, cdf.tolist()
