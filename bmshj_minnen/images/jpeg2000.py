"""Codestreams of JPEG 2000 (ISO 15444-1, annex A)."""

import struct

__all__ = ["CODESTREAM", "lacks_tiles"]

CODESTREAM = b"\xff\x4f\xff\x51"  # Start of the codestream, and of its segment SIZ.
_START_OF_TILE_PART = 0xFF90


def lacks_tiles(content: bytes) -> bool:
  """Whether a tile, or a part of one, is missing in a picture; OpenJPEG leaves it black."""
  start = content.find(CODESTREAM)
  if start < 0:
    return False
  sides = struct.unpack_from(">8I", content, start + 8)
  (right, bottom), (width, height), (left, top) = sides[:2], sides[4:6], sides[6:]
  tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
  found, declared = {}, {}
  at = start + 2
  while at + 12 <= len(content):
    marker, size, tile, length, _, parts = struct.unpack_from(">HHHIBB", content, at)
    if marker >> 8 != 0xFF or marker == 0xFFD9:
      break
    if marker != _START_OF_TILE_PART:
      at += 2 + size
      continue
    found[tile] = found.get(tile, 0) + 1
    declared[tile] = max(declared.get(tile, 0), parts)
    at = at + length if length else len(content)
  return len(found) < tiles or any(count < declared[tile] for tile, count in found.items())
