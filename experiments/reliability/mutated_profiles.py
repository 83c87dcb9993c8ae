"""Pictures with ICC profiles that are damaged such that LittleCMS may take them.

Each is made from a good profile, the control, by a random generator. Profiles that are valid but
give other colours are not made: they would not be damaged.
"""

import io
import struct
from typing import Callable, Optional

import numpy as np
import PIL.Image

from experiments.reliability import icc_files
from experiments.reliability.judging import Case, changed, picture

__all__ = ["case", "file_with"]

_LEVELS = np.arange(256) / 255
_TABLE = icc_files.table(np.round(65535 * _LEVELS**1.8).astype(int))
_FORMULA = icc_files.para(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_V2 = icc_files.matrix_profile(icc_files.P3, [_TABLE] * 3)
_V4 = icc_files.matrix_profile(icc_files.P3, [_FORMULA] * 3, version=4)
_V4_SRGB = icc_files.matrix_profile(icc_files.SRGB, [_FORMULA] * 3, version=4)
_GREY = icc_files.single_profile(icc_files.power(1.4))


def _corners(channels):
  """CIELAB at the ends of all channels: grey, lighter with channels or darker with inks."""
  share = np.array(list(np.ndindex(*[2] * channels))).mean(1)
  light = 255 * (share if channels == 3 else 1 - share) ** 1.5
  return np.stack([light, *[np.full_like(light, 128)] * 2], -1).round()


def _lab_of_rgb():
  """CIELAB of the corners of a cube of RGB, roughly."""
  rgb = np.array(list(np.ndindex(2, 2, 2)))
  light = 255 * (rgb @ [0.35, 0.5, 0.15])
  a, b = 128 + 70 * (rgb[:, 0] - rgb[:, 1]), 128 + 70 * (rgb[:, :2].mean(1) - rgb[:, 2])
  return np.stack([light, a, b], -1).round()


_LUT = icc_files.table_profile(b"RGB ", _lab_of_rgb())
_CMYK = icc_files.table_profile(b"CMYK", _corners(4))


def _with_columns(change):
  """Profiles with one changed primary: change(the primary, the two others, a generator)."""

  def make(random):
    columns = [np.array(column) for column in icc_files.P3]
    i, j, k = random.permutation(3)
    columns[i] = change(columns[i], columns[j], columns[k], random)
    return icc_files.matrix_profile(columns, [_TABLE] * 3)

  return make


def _with_curves(curve):
  """Profiles with one or three other curves, each a function of a random generator."""

  def make(random):
    curves = [_TABLE] * 3
    for i in range(3) if random.integers(2) else random.integers(3, size=1):
      curves[i] = curve(random)
    return icc_files.matrix_profile(icc_files.P3, curves)

  return make


def _table_of(levels):
  return icc_files.table(np.clip(np.round(levels), 0, 65535).astype(int))


_FLAT = lambda random: _table_of(np.full(256, random.integers(65536)))  # noqa: E731
_FALLING = lambda random: _table_of(65535 * (1 - _LEVELS) ** random.uniform(0.5, 3))  # noqa: E731
_NOISE = lambda random: _table_of(random.integers(65536, size=256))  # noqa: E731


def _entry(random):
  """Position of one of seven entries in the index of tags."""
  return 132 + 12 * int(random.integers(1, 7))  # Entry 0 is the white point.


def _changed_bytes(content, random, count):
  data = np.frombuffer(content, np.uint8).copy()
  where = random.integers(len(data), size=count)
  data[where] ^= random.integers(1, 256, size=count).astype(np.uint8)
  return data.tobytes()


# Group and kind -> control and function of a random generator that makes a profile.
_PROFILES: dict[str, tuple[bytes, Callable]] = {
  "primaries: one or all of zero": (
    _V2,
    lambda r: icc_files.matrix_profile(
      np.diag(r.integers(2, size=3) * [1, 1, 0]) @ icc_files.P3, [_TABLE] * 3
    ),
  ),
  "primaries: two alike": (_V2, _with_columns(lambda a, b, c, r: b)),
  "primaries: one mixed of the others": (
    _V2,
    _with_columns(lambda a, b, c, r: b + (c - b) * r.uniform(0.2, 0.8)),
  ),
  "primaries: a negative one": (_V2, _with_columns(lambda a, b, c, r: -a)),
  "primaries: one ten times as light": (_V2, _with_columns(lambda a, b, c, r: 10 * a)),
  "curves: an exponent of zero": (_V2, _with_curves(lambda r: icc_files.power(0))),
  "curves: an exponent near zero": (
    _V2,
    _with_curves(lambda r: icc_files.power(r.integers(1, 9) / 256)),
  ),
  "curves: an exponent of hundreds": (
    _V2,
    _with_curves(lambda r: icc_files.power(r.uniform(100, 255))),
  ),
  "curves: flat": (_V2, _with_curves(_FLAT)),
  "curves: falling": (_V2, _with_curves(_FALLING)),
  "curves: noise": (_V2, _with_curves(_NOISE)),
  "curves: falling from the middle on": (
    _V2,
    _with_curves(lambda r: _table_of(65535 * (1 - abs(2 * _LEVELS - 1)))),
  ),
  "curves: a formula of zeros, or with a negative exponent": (
    _V2,
    _with_curves(lambda r: icc_files.para(r.choice([0, -0.5, -2]), r.integers(2), 0, 0, 0)),
  ),
  "curves: longer than the profile": (
    _V2,
    _with_curves(lambda r: changed(_TABLE, 8, struct.pack(">I", r.integers(1000, 2**32)))),
  ),
  "curves: of an unknown type": (_V2, _with_curves(lambda r: changed(_TABLE, 0, r.bytes(4)))),
  "tags: another name": (_V2, lambda r: changed(_V2, _entry(r), r.bytes(4))),
  "tags: behind the end": (
    _V2,
    lambda r: changed(_V2, _entry(r) + 4, struct.pack(">I", r.integers(len(_V2), 2**32))),
  ),
  "tags: no length": (_V2, lambda r: changed(_V2, _entry(r) + 8, bytes(4))),
  "tags: too many": (_V2, lambda r: changed(_V2, 128, struct.pack(">I", r.integers(101, 2**32)))),
  "tags: too few": (_V2, lambda r: changed(_V2, 128, struct.pack(">I", r.integers(7)))),
  "header: for other pixels": (
    _V2,
    lambda r: changed(_V2, 16, (b"CMYK", b"GRAY", b"Lab ", b"YCbr")[r.integers(4)]),
  ),
  "header: an unknown connection space": (_V2, lambda r: changed(_V2, 20, r.bytes(4))),
  "header: no signature": (_V2, lambda r: changed(_V2, 36, r.bytes(4))),
  "header: another length": (_V2, lambda r: changed(_V2, 0, struct.pack(">I", r.integers(2**32)))),
  "header: the profile cut off": (_V2, lambda r: _V2[: r.integers(1, len(_V2))]),
  "primaries: bytes of zero": (_V2, lambda r: changed(_V2, 236 + 20 * r.integers(3), bytes(20))),
  "bytes, version 4: a bit": (
    _V4,
    lambda r: changed(_V4, at := int(r.integers(len(_V4))), bytes([_V4[at] ^ 1 << r.integers(8)])),
  ),
  "bytes, version 4: one": (_V4, lambda r: _changed_bytes(_V4, r, 1)),
  "bytes, version 4: four": (_V4, lambda r: _changed_bytes(_V4, r, 4)),
  "bytes, version 4 of sRGB: one": (_V4_SRGB, lambda r: _changed_bytes(_V4_SRGB, r, 1)),
  "bytes, version 4 of sRGB: four": (_V4_SRGB, lambda r: _changed_bytes(_V4_SRGB, r, 4)),
  "grey: an exponent of zero": (_GREY, lambda r: icc_files.single_profile(icc_files.power(0))),
  "grey: a flat curve": (_GREY, lambda r: icc_files.single_profile(_FLAT(r))),
  "grey: a falling curve": (_GREY, lambda r: icc_files.single_profile(_FALLING(r))),
  "grey: a curve of noise": (_GREY, lambda r: icc_files.single_profile(_NOISE(r))),
  "tables: one colour": (
    _LUT,
    lambda r: icc_files.table_profile(b"RGB ", np.tile(r.integers(256, size=3), [8, 1])),
  ),
  "tables: grey": (_LUT, lambda r: icc_files.table_profile(b"RGB ", _corners(3))),
  "tables: falling": (_LUT, lambda r: icc_files.table_profile(b"RGB ", _lab_of_rgb()[::-1])),
  "tables: one colour of all inks": (
    _CMYK,
    lambda r: icc_files.table_profile(b"CMYK", np.tile(r.integers(256, size=3), [16, 1])),
  ),
  "tables: light inks": (_CMYK, lambda r: icc_files.table_profile(b"CMYK", _corners(4)[::-1])),
}
_OF_GREY, _OF_INKS = ("PNG", "JPEG", "TIFF"), ("JPEG", "TIFF")
_OF_RGB = ("PNG", "JPEG", "TIFF", "WEBP", "AVIF")


def file_with(profile: bytes) -> Optional[bytes]:
  """A TIFF picture with a profile; None if it is not for RGB, grey or CMYK."""
  mode = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}.get(profile[16:20])
  return mode and _file(mode, "TIFF", profile)


def case(index: int, seed: int = 0) -> Case:
  """A picture with a damaged profile; equal numbers make equal files."""
  kinds = list(_PROFILES)
  kind, turn = kinds[index % len(kinds)], index // len(kinds)
  control, make = _PROFILES[kind]
  mode = {b"GRAY": "L", b"CMYK": "CMYK"}.get(control[16:20], "RGB")
  containers = {"L": _OF_GREY, "CMYK": _OF_INKS}.get(mode, _OF_RGB)
  container = containers[turn % len(containers)]
  damaged = make(np.random.default_rng([seed, index]))
  return Case(kind, container, _file(mode, container, control), _file(mode, container, damaged))


def _file(mode, container, profile):
  options = {"WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}}.get(container, {})
  buffer = io.BytesIO()
  image = PIL.Image.fromarray(picture()).convert(mode)
  image.save(buffer, container, icc_profile=profile, **options)
  return buffer.getvalue()
