"""Completes JPEG files (ITU-T T.81) that lack only the end marker."""

import io
import re
import zlib

import PIL.Image

__all__ = ["with_end"]

_START_OF_SCAN, _END = b"\xff\xda", b"\xff\xd9"
# All markers except stuffed zeros and restarts within a scan.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # Table B.1.
_PROGRESSIVE = frozenset((0xC2, 0xCA))
_COEFFICIENTS = 64
# Bytes that a decoder would read if the last scan continued; their first bits differ.
_TAILS = [bytes([byte, *range(1, 64)]) for byte in (0x00, 0x55, 0x9A, 0xAA, 0xD6, 0xFE)]


def with_end(content: bytes) -> bytes:
  """A file with an end marker, if only the marker is missing; other files unchanged.

  Pillow needs the marker in files of several scans, and in some files of one scan.
  """
  if not content.startswith(b"\xff\xd8\xff"):
    return content
  scan = content.rfind(_START_OF_SCAN)
  if scan < 0 or content.find(_END, scan) >= 0:
    return content
  cut = content.rstrip(b"\xff")  # Removes half of a marker.
  try:
    return cut + _END if _has_all_scans(cut) and _last_scan_is_whole(cut) else content
  except (KeyError, OSError, ValueError):  # The file ends within a header.
    return content


def _has_all_scans(content):
  """Whether all bits of all coefficients have a scan."""
  at, progressive, missing = 2, False, {0: True}
  while at < len(content):
    found = _MARKER.search(content, at)
    if not found:
      break
    kind, at = found[1][0], found.end()
    size = int.from_bytes(content[at : at + 2], "big")
    body, at = content[at + 2 : at + size], at + size
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
