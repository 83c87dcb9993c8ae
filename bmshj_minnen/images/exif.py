"""Changes EXIF of photographs whose pixels were turned upright and converted to sRGB.

All other bytes stay in their places, because makers' notes contain offsets into the data.
"""

import struct
from typing import NamedTuple

__all__ = ["PREFIX", "of_upright_srgb"]

PREFIX = b"Exif\0\0"  # Before the TIFF header in JPEG.

# Tags, and the kinds of values.
_ORIENTATION, _THUMBNAIL = 0x0112, 0x0201
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_COLOR_SPACE, _INTEROPERABILITY_INDEX = 0xA001, 1
_SRGB, _SRGB_INDEX = 1, b"R98\0"
_TEXT, _SHORT, _LONG = 2, 3, 4
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


class _Entry(NamedTuple):
  kind: int
  place: int  # Offset of the value.
  end: int


class _Directory(NamedTuple):
  entries: dict[int, _Entry]
  next: int  # Offset of the field with the offset of the next directory.

  @property
  def end(self):
    """Offset behind the last byte of the directory and its values."""
    return max([self.next + 4, *(entry.end for entry in self.entries.values())])


def of_upright_srgb(exif: bytes) -> bytes:
  """EXIF with orientation 1 and colour space sRGB, without the thumbnail, which was not turned.

  Args:
    exif: EXIF data from the TIFF header on.

  Raises:
    ValueError: the data are damaged.
  """
  try:
    return _Exif(exif).of_upright_srgb()
  except (struct.error, KeyError) as error:
    raise ValueError("the EXIF data are damaged") from error


class _Exif:
  def __init__(self, exif: bytes):
    self._data = bytearray(exif)
    self._order = _ORDERS[bytes(exif[:4])]

  def of_upright_srgb(self):
    """The changed data, see the function `of_upright_srgb`."""
    main = self._directory(self._number("I", 4))
    parts = [main]
    self._put(main, _ORIENTATION, 1)
    for tag in (_EXIF, _GPS):
      if tag in main.entries:
        parts.append(self._part(main, tag))
    if _EXIF in main.entries:
      self._put(parts[1], _COLOR_SPACE, _SRGB)
      if _INTEROPERABILITY in parts[1].entries:
        parts.append(self._part(parts[1], _INTEROPERABILITY))
        self._put_index(parts[-1])
    self._drop_thumbnail(main, max(part.end for part in parts))
    return bytes(self._data)

  def _number(self, kind, place):
    return struct.unpack_from(self._order + kind, self._data, place)[0]

  def _directory(self, at):
    count, entries = self._number("H", at), {}
    for place in range(at + 2, at + 2 + 12 * count, 12):
      tag, kind, length = struct.unpack_from(f"{self._order}HHI", self._data, place)
      size = _SIZES.get(kind, 1) * length
      value = place + 8 if size <= 4 else self._number("I", place + 8)
      if value + size <= len(self._data):  # Some cameras write offsets beyond the data.
        entries[tag] = _Entry(kind, value, value + size)
    self._number("I", at + 2 + 12 * count)
    return _Directory(entries, at + 2 + 12 * count)

  def _part(self, directory, tag):
    return self._directory(self._number("I", directory.entries[tag].place))

  def _put(self, directory, tag, value):
    entry = directory.entries.get(tag)
    if entry and entry.kind in (_SHORT, _LONG):
      kind = "H" if entry.kind == _SHORT else "I"
      struct.pack_into(self._order + kind, self._data, entry.place, value)

  def _put_index(self, interoperability):
    entry = interoperability.entries.get(_INTEROPERABILITY_INDEX)
    if entry and entry.kind == _TEXT and entry.end - entry.place == len(_SRGB_INDEX):
      self._data[entry.place : entry.end] = _SRGB_INDEX

  def _drop_thumbnail(self, main, end):
    """Removes the thumbnail; its bytes stay if other data follow them."""
    at = self._number("I", main.next)
    if not at:
      return
    struct.pack_into(self._order + "I", self._data, main.next, 0)
    if at < end or at + 2 > len(self._data):
      return
    pictures = self._directory(at).entries
    if _THUMBNAIL not in pictures or self._number("I", pictures[_THUMBNAIL].place) >= end:
      del self._data[end:]
