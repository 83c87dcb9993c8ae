"""Makes ICC profiles with any numbers, valid or not (ICC.1:2010)."""

import hashlib
import struct
from collections.abc import Sequence

import numpy as np

__all__ = [
  "P3",
  "SRGB",
  "matrix_profile",
  "para",
  "power",
  "profile",
  "single_profile",
  "table",
  "table_profile",
]

_D50 = (0.9642, 1.0, 0.8249)
# X, Y and Z of red, green and blue, relative to D50.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], version: int = 2) -> bytes:
  """A profile; version 4 includes its checksum.

  Args:
    space, connection: four bytes each.
    tags: name -> contents.
  """
  position = 128 + 4 + 12 * len(tags)
  index, data = struct.pack(">I", len(tags)), b""
  for name, value in tags.items():
    index += struct.pack(">4sII", name, position + len(data), len(value))
    data += value + bytes(-len(value) % 4)
  kind = b"prtr" if space == b"CMYK" else b"mntr"
  head = struct.pack(">I4xI4s4s4s", position + len(data), version << 24, kind, space, connection)
  head = (head + bytes(12) + b"acsp" + bytes(28) + _numbers(_D50)).ljust(128, b"\0")
  content = head + index + data
  if version < 4:
    return content
  return content[:84] + hashlib.md5(content).digest() + content[100:]


def _numbers(values):
  return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def power(exponent: float) -> bytes:
  """A curve given by one exponent."""
  return b"curv" + bytes(4) + struct.pack(">IH", 1, round(exponent * 256))


def table(levels: Sequence[int]) -> bytes:
  """A curve given by levels in 0..65535."""
  return b"curv" + bytes(4) + struct.pack(f">I{len(levels)}H", len(levels), *levels)


def para(*values: float) -> bytes:
  """A curve given by a formula with five numbers, such as sRGB's."""
  return b"para" + bytes(4) + struct.pack(">H2x", 3) + _numbers(values)


def matrix_profile(columns: Sequence, curves: Sequence[bytes], version: int = 2) -> bytes:
  """A profile with three primaries, X, Y and Z each, and a curve for each."""
  tags = {b"wtpt": b"XYZ " + bytes(4) + _numbers(_D50)}
  for name, column in zip((b"r", b"g", b"b"), columns):
    tags[name + b"XYZ"] = b"XYZ " + bytes(4) + _numbers(column)
  for name, curve in zip((b"r", b"g", b"b"), curves):
    tags[name + b"TRC"] = curve
  return profile(b"RGB ", b"XYZ ", tags, version)


def single_profile(curve: bytes) -> bytes:
  """A profile for grey."""
  tags = {b"wtpt": b"XYZ " + bytes(4) + _numbers(_D50), b"kTRC": curve}
  return profile(b"GRAY", b"XYZ ", tags)


def table_profile(space: bytes, corners: np.ndarray) -> bytes:
  """A profile with a table of the colours at the ends of all channels, interpolated linearly.

  Args:
    space: `RGB ` or `CMYK`.
    corners: [2 ** channels, 3] uint8 in ICC's code of CIELAB; the last channel changes fastest.
  """
  channels = len(space.strip())
  lut = b"mft1" + bytes(4) + bytes([channels, 3, 2, 0]) + _numbers(np.eye(3).ravel())
  lut += channels * bytes(range(256)) + corners.astype(np.uint8).tobytes() + 3 * bytes(range(256))
  return profile(space, b"Lab ", {b"A2B0": lut})
