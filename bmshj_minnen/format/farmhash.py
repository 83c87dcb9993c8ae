"""FarmHash's 64-bit fingerprint (Geoff Pike, 2014), as `tf.fingerprint` computes it.

Words have 64 bits, little-endian. Sums and products keep 64 bits, too.
"""

import struct

__all__ = ["MIN_SIZE", "fingerprint"]

MIN_SIZE = 16  # Shorter bytes have other rules, which no file needs.

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_MASK = 2**64 - 1
_SEED = 81
_BLOCK = 64


def fingerprint(data: bytes) -> bytes:
  """The fingerprint of at least `MIN_SIZE` bytes: 8 bytes, the low one first.

  Raises:
    ValueError: the data are shorter.
  """
  size = len(data)
  if size < MIN_SIZE:
    raise ValueError(f"expected at least {MIN_SIZE} bytes, not {size}")
  if size > _BLOCK:
    value = _of_blocks(data)
  else:
    value = (_of_16 if size == 16 else _of_at_most_32 if size <= 32 else _of_at_most_64)(data)
  return value.to_bytes(8, "little")


def _word(data, at):
  """The word at a place in bytes; a negative place counts from the end."""
  return int.from_bytes(data[at : at + 8 or None], "little")


def _rotated(value, by):
  """A word rotated to the right."""
  value &= _MASK
  return (value >> by | value << 64 - by) & _MASK


def _shifted(value):
  value &= _MASK
  return value ^ value >> 47


def _merged(u, v, factor):
  """Two words merged to one."""
  v &= _MASK
  a = _shifted((u & _MASK ^ v) * factor)
  return _shifted((v ^ a) * factor) * factor & _MASK


def _of_16(data):
  factor = _K2 + 2 * len(data)
  a, b = _word(data, 0) + _K2, _word(data, -8)
  return _merged(_rotated(b, 37) * factor + a, (_rotated(a, 25) + b) * factor, factor)


def _ends(data, first):
  """Sums of the first two words, the first one times a factor, and of the last two."""
  factor = _K2 + 2 * len(data)
  a, b = _word(data, 0) * first, _word(data, 8)
  c, d = _word(data, -8) * factor, _word(data, -16) * _K2
  return a, _rotated(a + b, 43) + _rotated(c, 30) + d, a + _rotated(b + _K2, 18) + c, factor


def _of_at_most_32(data):
  _, *both, factor = _ends(data, _K1)
  return _merged(*both, factor)


def _of_at_most_64(data):
  a, y, other, factor = _ends(data, _K2)
  z = _merged(y, other, factor)
  e, f = _word(data, 16) * factor, _word(data, 24)
  g, h = (y + _word(data, -32)) * factor, (z + _word(data, -24)) * factor
  return _merged(_rotated(e + f, 43) + _rotated(g, 30) + h, e + _rotated(f + a, 18) + g, factor)


def _of_blocks(data):
  x, y = _SEED, _SEED * _K1 + 113
  z = _shifted(y * _K2 + 113) * _K2
  state = (x * _K2 + _word(data, 0) & _MASK, y & _MASK, z & _MASK, 0, 0, 0, 0)
  rest = (len(data) - 1) % _BLOCK
  for words in struct.iter_unpack("<8Q", data[: len(data) - 1 - rest]):
    state = _step(words, state, _K1, 1)
  z, v, w = state[2], state[3], state[5]
  factor = _K1 + ((z & 0xFF) << 1)
  # The last block overlaps the one before it.
  w += rest
  v = v + w & _MASK
  w = w + v & _MASK
  last = struct.unpack("<8Q", data[-_BLOCK:])
  x, y, z, v0, v1, w0, w1 = _step(last, (*state[:3], v, state[4], w, state[6]), factor, 9)
  one = _merged(v0, w0, factor) + _shifted(y) * _K0 + z
  return _merged(one, _merged(v1, w1, factor) + x, factor)


def _step(words, state, factor, weight):
  """The state after the words of a block; written out, for there are many blocks."""
  x, y, z, v0, v1, w0, w1 = state
  a, b, c, d, e, f, g, h = words
  mask = _MASK
  x = x + y + v0 + b & mask
  x = ((x >> 37 | x << 27) & mask) * factor & mask
  y = y + v1 + g & mask
  y = ((y >> 42 | y << 22) & mask) * factor
  x ^= w1 * weight & mask
  y = y + v0 * weight + f & mask
  z = z + w0 & mask
  z = ((z >> 33 | z << 31) & mask) * factor & mask
  # Four words and two seeds to two, twice.
  s = v1 * factor + a
  t = x + w0 + s + d & mask
  u = s + b + c & mask
  v0, v1 = u + d & mask, (t >> 21 | t << 43) + (u >> 44 | u << 20) + s & mask
  s = z + w1 + e
  t = y + c + s + h & mask
  u = s + f + g & mask
  w0, w1 = u + h & mask, (t >> 21 | t << 43) + (u >> 44 | u << 20) + s & mask
  return z, y, x, v0, v1, w0, w1
