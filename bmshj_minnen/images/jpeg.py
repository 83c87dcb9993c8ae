"""JPEG files (ITU-T T.81) that are truncated: completed if they lack only the end marker, or named.

libjpeg fills a scan that ends early with grey, and Pillow keeps its warning for itself. Behind the
last bit of a complete scan, however, a decoder skips all bytes up to the next marker: some that are
put there do not change the picture.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator

import PIL.Image
import PIL.JpegImagePlugin

__all__ = ["TAIL", "lacks_pixels", "with_end"]

_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # All except stuffed zeros within a scan.
_RESTARTS = frozenset(range(0xD0, 0xD8))
_BARE = _RESTARTS | {0x01, 0xD8, 0xD9}  # Markers without a segment.
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # Table B.1.
_PROGRESSIVE = frozenset((0xC2, 0xCA))
_HUFFMAN = frozenset((0xC0, 0xC1, 0xC2))
_COEFFICIENTS = 64
# Bytes that a decoder would read if the last scan continued; their first bits differ.
_TAILS = [bytes([byte, *range(1, 64)]) for byte in (0x00, 0x55, 0x9A, 0xAA, 0xD6, 0xFE)]
# Without a pattern, and longer than the part of a block that is outside the picture.
TAIL = bytes(i * 167 % 251 for i in range(1, 251))
_TAIL_OF_INTERVAL = TAIL[:64]  # There may be as many as blocks.
_NEVER_WRITTEN = bytes(32)  # End of a file for which there was room, but no data.


def lacks_pixels(image: PIL.Image.Image, content: bytes) -> bool:
  """Whether a scan, or an interval between restart markers, ends early; costs a second decoding.

  About one in a thousand cuts near the end of a photograph is overlooked: the bytes that
  are put there, and the zeros of libjpeg, would have to decode to the same levels.

  Args:
    image: a decoded image of Pillow's formats JPEG and MPO.
    content: the file that Pillow decoded.
  """
  parts, start, in_scan = [], 0, False
  frame, interval, missing, expected = b"", 0, 0, 0
  for kind, body, at, _ in _segments(content):
    if in_scan:
      parts += [content[start:at], _TAIL_OF_INTERVAL if interval else TAIL]
      start = at
    in_scan = kind == 0xDA or kind in _RESTARTS
    if kind in _RESTARTS:
      if missing > 0 and kind != expected:
        return True
      missing, expected = missing - interval, 0xD0 + (kind + 1) % 8
    elif missing > 0:
      return True
    elif kind in _FRAMES:
      if kind not in _HUFFMAN:
        return False
      frame = body
    elif kind == 0xDD:
      interval = int.from_bytes(body, "big")
    elif kind == 0xDA and interval:
      missing, expected = _mcus(frame, body) - interval, 0xD0
    elif kind == 0xD9:
      break
  else:
    return True  # It has no end, and `with_end` did not add it.
  parts += [content[start:] if in_scan else b"", _END]
  with PIL.JpegImagePlugin.JpegImageFile(io.BytesIO(b"".join(parts))) as other:
    return other.tobytes() != image.tobytes()


def _segments(content) -> Iterator[tuple[int, bytes, int, int]]:
  """Kind, body, start and end of each marker with its segment."""
  at = 2
  while found := _MARKER.search(content, at):
    kind, at = found[1][0], found.end()
    size = 0 if kind in _BARE else int.from_bytes(content[at : at + 2], "big")
    yield kind, content[at + 2 : at + size], found.start(), at + size
    at += size


def _mcus(frame, scan):
  """Number of minimum coded units of a scan (A.2)."""
  size = struct.unpack(">HH", frame[1:5])
  factors = {
    component: (down_and_across & 15, down_and_across >> 4)
    for component, down_and_across in zip(frame[6::3], frame[7::3])
  }
  most = [max(values) for values in zip(*factors.values())]
  of_scan = [factors[component] for component in scan[1:-3:2]]
  if len(of_scan) == 1:  # Blocks of this component.
    size, most = [-(-s * f // m) for s, f, m in zip(size, of_scan[0], most)], (1, 1)
  rows, columns = (-(-side // (8 * highest)) for side, highest in zip(size, most))
  return rows * columns


def with_end(content: bytes) -> bytes:
  """A file with an end marker, if only the marker is missing; other files unchanged.

  Pillow needs the marker in files of several scans, and in some files of one scan.
  """
  if not content.startswith(b"\xff\xd8\xff"):
    return content
  scan = content.rfind(_START_OF_SCAN)
  if scan < 0 or content.find(_END, scan) >= 0 or content.endswith(_NEVER_WRITTEN):
    return content
  cut = content.rstrip(b"\xff")  # Removes half of a marker.
  try:
    return cut + _END if _has_all_scans(cut) and _last_scan_is_whole(cut) else content
  except (KeyError, OSError, ValueError):  # The file ends within a header.
    return content


def _has_all_scans(content):
  """Whether all bits of all coefficients have a scan."""
  progressive, missing = False, {0: True}
  for kind, body, _, _ in _segments(content):
    if kind in _FRAMES:
      progressive = kind in _PROGRESSIVE
      missing = {component: set(range(_COEFFICIENTS)) for component in body[6::3]}
    elif kind == 0xDA:
      first, last, bits = body[-3:]
      if bits & 15 == 0 or not progressive:  # The lowest bit.
        of_scan = set(range(first, last + 1)) if progressive else set(range(_COEFFICIENTS))
        for component in body[1:-3:2]:
          missing[component] -= of_scan
  return not any(missing.values())


def _last_scan_is_whole(content):
  """Whether the last scan is complete: bytes behind it do not change the picture."""
  pictures = set()
  for tail in _TAILS:
    with PIL.Image.open(io.BytesIO(content + tail + _END), formats=["JPEG"]) as image:
      pictures.add(zlib.crc32(image.tobytes()))
  return len(pictures) == 1
