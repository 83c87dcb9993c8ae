"""Files that strangers might send, and a codec's outcomes with them.

Three groups: `DAMAGED` files almost certainly have a wrong checksum; `CONTRADICTORY` files have the
right checksum, but a header that must be refused; `FORGED` files have a valid header and any
payload, so that they may decode to any picture.
"""

import dataclasses
import zlib
from typing import Optional

import numpy as np

import bmshj_minnen
from bmshj_minnen.format import fields, metadata, writing

__all__ = [
  "CONTRADICTORY",
  "DAMAGED",
  "FORGED",
  "KINDS",
  "SIZES",
  "Case",
  "Forge",
  "Outcome",
  "decode",
]

# Height and width of the good files: less than one latent, thin, odd, and whole sizes.
SIZES = ((1, 1), (1, 300), (300, 1), (17, 33), (48, 64), (64, 96), (100, 150), (200, 150))
_OVERFLOW = b"\xff\x80\x00\x00"  # An endless loop in tfc's own overflow code.
_METADATA = b"II*\0\x08\0\0\0\0\0", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"  # EXIF and XMP.
_ESCAPE_BYTES = 4  # Two for an escape of probability 2^-16 or little more, two for its value.


@dataclasses.dataclass(frozen=True)
class Case:
  """A file to decode.

  Attributes:
    kind: one of `KINDS`.
    size: height and width of a good file that takes equally long to decode.
    data: the file.
  """

  kind: str
  size: tuple[int, int]
  data: bytes


@dataclasses.dataclass(frozen=True)
class Outcome:
  """The outcome of decoding a file.

  Attributes:
    name: "refused" with a `BitstreamError`, "decoded" where that is allowed, or "other", a defect.
    detail: the message, or a hash of the picture.
    check: the name of the `Problem` for which it was refused.
  """

  name: str
  detail: str
  check: str = ""


class Forge:
  """Makes hostile files for one codec.

  Args:
    codec: a codec for one rate (files of version 1) or for many rates (files of version 2).
    photograph: [H, W, 3] uint8; it is repeated where it is too small.
    has_metadata: whether EXIF and XMP precede each file.

  Attributes:
    codec: the given codec.
    version: version of the format, metadata aside.
    good: size -> a file.
    symbols: size -> number of symbols in this file.
    header_size: bytes before the payload.
  """

  def __init__(self, codec: bmshj_minnen.Codec, photograph: np.ndarray, has_metadata: bool = False):
    self.codec = codec
    self.version = writing.version_of(bool(codec.config.gain_lambdas))
    self._metadata = metadata.with_metadata(b"", *(_METADATA if has_metadata else (b"", b"")))
    self.header_size = len(self._metadata) + fields.header_size(self.version)
    self.good: dict[tuple[int, int], bytes] = {}
    self.symbols: dict[tuple[int, int], int] = {}
    for height, width in SIZES:
      image = photograph.take(range(height), 0, mode="wrap").take(range(width), 1, mode="wrap")
      data, latents = codec.compress_with_latents(image)
      self.good[height, width] = self._metadata + data
      self.symbols[height, width] = latents.y_hat.size + latents.z_hat.size

  def make(self, kind: str, random: np.random.Generator) -> Case:
    """Makes a file of one of `KINDS`; equal generators make equal files."""
    while True:
      size = SIZES[random.integers(len(SIZES))]
      size, data = KINDS[kind](self, size, random)
      if data not in self.good.values():  # Damage may cancel out.
        return Case(kind, size, data)

  def seal(
    self,
    size: tuple[int, int],
    payload: bytes,
    length: Optional[int] = None,
    fingerprint: Optional[bytes] = None,
  ) -> bytes:
    """Makes a file whose checksum is right.

    Args:
      size: declared height and width.
      payload: any bytes.
      length: declared length, if not the payload's.
      fingerprint: fingerprint in the header, if not the codec's.
    """
    values = fields.unpack(self.good[SIZES[0]], len(self._metadata))
    del values["magic"], values["version"]
    values.update(
      fingerprint=fingerprint or self.codec.fingerprint,
      height=size[0],
      width=size[1],
      payload_size=len(payload) if length is None else length,
      checksum=b"",
    )
    head = fields.pack(self.version, **values)
    return self._metadata + head + fields.checksum(head + payload) + payload

  def payload(self, size: tuple[int, int]) -> bytes:
    """The payload of a good file."""
    return self.good[size][self.header_size :]


def decode(codec: bmshj_minnen.Codec, case: Case) -> Outcome:
  """Decodes a file and judges the outcome."""
  try:
    image = codec.decompress(case.data)
  except bmshj_minnen.BitstreamError as error:
    name = "other" if "\n" in str(error) else "refused"
    return Outcome(name, str(error), error.problem.name)
  except Exception as error:  # Any other error is a defect.
    return Outcome("other", f"{type(error).__name__}: {error}")
  if case.kind not in FORGED:
    return Outcome("other", "decoded, but should have been refused")
  if image.dtype != np.uint8 or image.shape != (*case.size, 3):
    return Outcome("other", f"{image.dtype} {image.shape}, but {case.size} was declared")
  return Outcome("decoded", f"{zlib.crc32(image):08x}")


def _flip_bits(data, random):
  array = np.frombuffer(data, np.uint8).copy()
  for bit in random.integers(8 * len(array), size=random.integers(1, 9)):
    array[bit // 8] ^= 1 << bit % 8
  return array.tobytes()


def _change_bytes(data, random, end):
  array = np.frombuffer(data, np.uint8).copy()
  where = random.integers(end, size=random.integers(1, 17))
  array[where] = random.integers(256, size=where.size)
  return array.tobytes()


def _truncate(data, random):
  return data[: random.integers(len(data))] if data else data


def _extend(data, random):
  return data + random.bytes(int(random.integers(1, 1000)))


def _splice(data, other, random):
  """Replaces a piece by bytes of `other`, or joins the head of one and the tail of the other."""
  start, end = sorted(random.integers(len(data) + 1, size=2))
  if random.integers(2):
    piece = other[start:end]
    return data[:start] + piece + data[start + len(piece) :]
  return data[:start] + other[random.integers(len(other) + 1) :]


def _another(size, random):
  return [other for other in SIZES if other != size][random.integers(len(SIZES) - 1)]


def _random_file(forge, size, random):
  ends = [fields.offset(field.name, forge.version) for field in fields.of_version(forge.version)]
  head = forge.good[size][: random.choice([*ends, forge.header_size])]
  return size, head + random.bytes(int(random.integers(1000)))


def _wrong_length(forge, size, random):
  payload = forge.payload(size)
  near, far = len(payload) + (1, 2, 256)[random.integers(3)], int(random.integers(2**31, 2**32))
  return size, forge.seal(size, payload, length=(near, far, 2**31, 2**32 - 1)[random.integers(4)])


def _absurd_size(forge, size, random):
  declared = (1, 1)
  while declared[0] * declared[1] <= forge.codec.max_pixels:
    sides = np.ceil(2 ** random.uniform(0, 16.01, 2)).clip(1, fields.MAX_SIDE)
    declared = tuple(map(int, sides))
  # It must be refused without work, in less time than the smallest image takes.
  return (1, 1), forge.seal(declared, forge.payload(size))


def _another_model(forge, size, random):
  return size, forge.seal(size, forge.payload(size), fingerprint=random.bytes(4))


def _repeated(byte):
  def make(forge, size, random):
    return byte * int(random.integers(1, _ESCAPE_BYTES * forge.symbols[size] + 2))

  return make


def _random_payload(forge, size, random):
  return random.bytes(int(random.integers(1, 2 * len(forge.payload(size)) + 2)))


def _escapes(forge, size, random):
  """Only escapes, or some escapes and then random bytes."""
  count = forge.symbols[size]
  if random.integers(2):
    return b"\xff" * (_ESCAPE_BYTES * count)
  start = int(random.integers(1, count + 1))
  return b"\xff" * (_ESCAPE_BYTES * start) + random.bytes(int(random.integers(1, 1000)))


def _overflow(forge, size, random):
  payload = forge.payload(size)
  return (
    _OVERFLOW,
    _OVERFLOW * int(random.integers(2, forge.symbols[size] + 3)),
    _OVERFLOW + bytes(int(random.integers(1000))),
    payload[: random.integers(len(payload) + 1)] + _OVERFLOW,
  )[random.integers(4)]


# Kind -> function of a forge, a size and a random generator that returns size and file.
DAMAGED = {
  "bits flipped": lambda f, s, r: (s, _flip_bits(f.good[s], r)),
  "bytes changed": lambda f, s, r: (s, _change_bytes(f.good[s], r, len(f.good[s]))),
  "header changed": lambda f, s, r: (s, _change_bytes(f.good[s], r, f.header_size)),
  "truncated": lambda f, s, r: (s, _truncate(f.good[s], r)),
  "extended": lambda f, s, r: (s, _extend(f.good[s], r)),
  "two files spliced": lambda f, s, r: (s, _splice(f.good[s], f.good[_another(s, r)], r)),
  "random bytes": _random_file,
}
CONTRADICTORY = {
  "length that lies": _wrong_length,
  "absurd size": _absurd_size,
  "another model": _another_model,
}
# Kind -> function of a forge, a size and a random generator that returns a payload.
_PAYLOADS = {
  "payload empty": lambda f, s, r: b"",
  "payload of zeros": _repeated(b"\x00"),
  "payload of ones": _repeated(b"\xff"),
  "payload random": _random_payload,
  "payload of escapes": _escapes,
  "payload of overflows": _overflow,
  "payload with bits flipped": lambda f, s, r: _flip_bits(f.payload(s), r),
  "payload truncated": lambda f, s, r: _truncate(f.payload(s), r),
  "payload extended": lambda f, s, r: _extend(f.payload(s), r),
  "payloads spliced": lambda f, s, r: _splice(f.payload(s), f.payload(_another(s, r)), r),
  "payload of another size": lambda f, s, r: f.payload(_another(s, r)),
}


def _sealed(make):
  return lambda forge, size, random: (size, forge.seal(size, make(forge, size, random)))


FORGED = {kind: _sealed(make) for kind, make in _PAYLOADS.items()}
KINDS = {**DAMAGED, **CONTRADICTORY, **FORGED}
