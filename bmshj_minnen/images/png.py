"""Chunks of PNG files (ISO/IEC 15948, third edition)."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Optional

__all__ = [
  "GAMMA_TOLERANCE",
  "LONGEST_TEXT",
  "PLACE_TOLERANCE",
  "SRGB_CODE_POINTS",
  "SRGB_GAMMA",
  "SRGB_PLACES",
  "Chunk",
  "SIGNATURE",
  "chunks",
  "inflated",
  "lacks_pixels",
  "profile_stream",
  "without_bad_side_data",
]

# Values of sRGB in gAMA (100000 / 2.2) and in cHRM, and tolerances for values that count as sRGB.
SRGB_GAMMA, GAMMA_TOLERANCE = 45455, 2272
SRGB_PLACES, PLACE_TOLERANCE = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000), 500
SRGB_CODE_POINTS = bytes((1, 13, 0, 1))  # Body of cICP.
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
LONGEST_TEXT = 2**20  # Bytes that Pillow inflates.
_ALL_TEXTS = 2**25  # Bytes of all texts in one file.
# Chunks that decoding the pixels needs.
_OF_PIXELS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"))
_OF_ANIMATIONS = frozenset((b"acTL", b"fcTL", b"fdAT"))
_KEPT = frozenset((*_OF_PIXELS, *_OF_ANIMATIONS, *_TEXTS, b"eXIf"))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # By the colour type.
# First column and row, and steps between columns and between rows, of each pass of Adam7.
_ADAM7 = (
  *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
  (0, 1, 1, 2),
)
_PART, _MOST_AT_ONCE = 2**16, 2**20  # Bytes that are inflated in one step, and of its result.


class Chunk(NamedTuple):
  """A chunk.

  Attributes:
    name: name of four bytes.
    body: content of the chunk.
    start, end: offsets in the file, including length and checksum.
    whole: whether the checksum is right.
  """

  name: bytes
  body: bytes
  start: int
  end: int
  whole: bool


def chunks(content: bytes) -> Iterator[Chunk]:
  """The chunks of a PNG file, up to the first truncated one; empty for other files."""
  at = len(SIGNATURE) if content.startswith(SIGNATURE) else len(content)
  while at + 12 <= len(content):
    end = at + 12 + int.from_bytes(content[at : at + 4], "big")
    if end > len(content):
      return
    name, body = content[at + 4 : at + 8], content[at + 8 : end - 4]
    checksum = int.from_bytes(content[end - 4 : end], "big")
    # Pillow checks the checksums of pixels itself.
    yield Chunk(name, body, at, end, name in _OF_PIXELS or zlib.crc32(name + body) == checksum)
    at = end


def inflated(stream: bytes, limit: int) -> Optional[bytes]:
  """The content of a zlib stream; None if it is damaged or longer than `limit` bytes."""
  try:
    inflate = zlib.decompressobj()
    result = inflate.decompress(stream, limit)
    return result if inflate.eof else None
  except zlib.error:
    return None


def without_bad_side_data(content: bytes) -> bytes:
  """A PNG file without side data on which Pillow would fail; other files unchanged.

  Valid texts and EXIF are kept; chunks about colours are removed, because `declared` reads them.
  """
  kept, start, left = [], 0, _ALL_TEXTS
  for chunk in chunks(content):
    size = _size_beside_pixels(chunk)
    if size is not None and size <= left:
      left -= size
      continue
    kept.append(content[start : chunk.start])
    start = chunk.end
  return b"".join([*kept, content[start:]]) if kept else content


def _size_beside_pixels(chunk):
  """Number of bytes of text in a chunk; None if the chunk is not kept."""
  if not chunk.whole or chunk.name not in _KEPT:
    return None
  if chunk.name not in _TEXTS:
    return 0
  _, _, rest = chunk.body.partition(b"\0")
  if chunk.name == b"tEXt" or (chunk.name == b"iTXt" and rest[:1] != b"\1"):
    return len(chunk.body) if len(chunk.body) < LONGEST_TEXT else None
  packed = rest[1:] if chunk.name == b"zTXt" else b"".join(rest[2:].split(b"\0", 2)[2:])
  text = inflated(packed, LONGEST_TEXT)
  return None if text is None else len(text)


def profile_stream(chunk: Chunk) -> bytes:
  """The compressed profile in an iCCP chunk, without its name and its method."""
  return chunk.body.partition(b"\0")[2][1:]


def lacks_pixels(content: bytes) -> bool:
  """Whether the stream of a PNG picture ends before its last row; Pillow leaves the rest black."""
  missing = _size_of_pixels(content)
  inflate = zlib.decompressobj()
  for body in _bodies_of_pixels(content):
    for at in range(0, len(body), _PART):
      part = body[at : at + _PART]
      while missing > 0 and (rows := inflate.decompress(part, _MOST_AT_ONCE)):
        missing -= len(rows)
        part = inflate.unconsumed_tail
      if missing <= 0 or inflate.eof:
        return missing > 0
  return missing > 0


def _bodies_of_pixels(content):
  """The bodies of all chunks of pixels, the last of which may be truncated."""
  view, end = memoryview(content), len(SIGNATURE)
  for chunk in chunks(content):
    end = chunk.end
    if chunk.name == b"IDAT":
      yield chunk.body
  if content[end + 4 : end + 8] == b"IDAT":
    yield view[end + 8 :]


def _size_of_pixels(content):
  """Number of bytes of all rows, each behind a byte for its filter, before compression."""
  width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
  total = 0
  for x, y, step, row_step in _ADAM7 if interlaced else ((0, 0, 1, 1),):
    columns, rows = -(-(width - x) // step), -(-(height - y) // row_step)
    if columns > 0:
      total += max(rows, 0) * (1 + -(-columns * depth * _CHANNELS[kind] // 8))
  return total
