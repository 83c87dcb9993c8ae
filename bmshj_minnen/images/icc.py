"""ICC profiles of three primaries and a curve, for files that declare colours in other ways."""

import struct
from typing import NamedTuple

import numpy as np

__all__ = [
  "ADOBE_RGB",
  "Chromaticities",
  "ToneCurve",
  "D65",
  "SRGB",
  "SRGB_CURVE",
  "gamma",
  "profile",
]

_D50 = np.array([0.9642, 1.0, 0.8249])  # White of the profile connection space.
_BRADFORD = np.array(
  [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


class Chromaticities(NamedTuple):
  """Chromaticities (x, y) of the white point and of the primaries."""

  white: tuple[float, float]
  red: tuple[float, float]
  green: tuple[float, float]
  blue: tuple[float, float]


class ToneCurve(NamedTuple):
  """Light as a function of a value v: (a v + b)^g for v >= d, else c v."""

  g: float
  a: float = 1.0
  b: float = 0.0
  c: float = 0.0
  d: float = 0.0


D65 = (0.3127, 0.3290)
SRGB = Chromaticities(D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB_CURVE = ToneCurve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
ADOBE_RGB = Chromaticities(D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))


def gamma(exponent: float) -> ToneCurve:
  """The curve v^exponent."""
  return ToneCurve(exponent)


def profile(chromaticities: Chromaticities, curves: tuple[ToneCurve, ...]) -> bytes:
  """An ICC profile of version 4.

  Args:
    chromaticities: chromaticities of white point and primaries.
    curves: one curve for all channels, or three for red, green and blue.

  Raises:
    ValueError: the primaries or the exponent of a curve are not valid.
  """
  curves = curves * 3 if len(curves) == 1 else curves
  columns = _to_d50(chromaticities)
  if not np.isfinite(columns).all() or np.abs(columns).max() > 100:
    raise ValueError("invalid primaries")
  tags = [(b"wtpt", _xyz(_D50))]
  tags += [(name + b"XYZ", _xyz(columns[:, i])) for i, name in enumerate((b"r", b"g", b"b"))]
  tags += [(name + b"TRC", _para(curves[i])) for i, name in enumerate((b"r", b"g", b"b"))]
  table, body = struct.pack(">I", len(tags)), b""
  start = 128 + 4 + 12 * len(tags)
  for name, data in tags:
    table += struct.pack(">4sII", name, start + len(body), len(data))
    body += data
  size = 128 + len(table) + len(body)
  head = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x04200000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
  head += b"".join(map(_fixed, _D50))
  return head.ljust(128, b"\0") + table + body


def _to_d50(chromaticities):
  """X, Y and Z of the primaries, adapted to the white of profiles: [XYZ, primary], [3, 3]."""
  with np.errstate(all="ignore"):
    white, *primaries = (
      np.array([x / y, 1, (1 - x - y) / y]) for x, y in _non_zero(chromaticities)
    )
    columns = np.stack(primaries, 1)
    try:
      columns = columns * np.linalg.solve(columns, white)
    except np.linalg.LinAlgError as error:
      raise ValueError("invalid primaries") from error
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ columns


def _non_zero(chromaticities):
  if any(y == 0 for _, y in chromaticities):
    raise ValueError("invalid primaries")
  return chromaticities


def _fixed(value):
  return struct.pack(">i", round(value * 65536))


def _xyz(values):
  return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _para(curve):
  if not 0 < curve.g < 100:
    raise ValueError("invalid exponent")
  return b"para" + bytes(4) + struct.pack(">H2x", 3) + b"".join(map(_fixed, curve))
