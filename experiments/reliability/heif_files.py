"""Makes AVIF and HEIC files of any structure (ISO 14496-12, 23008-12) around coded pictures."""

import dataclasses
import io
import struct
from collections.abc import Iterator

import numpy as np
import PIL.Image

__all__ = [
  "Item",
  "box",
  "clap",
  "coded",
  "derived",
  "file_of",
  "imir",
  "irot",
  "nclx",
  "profile",
]

# Properties that change pixels, and properties for decoders, are essential.
_ESSENTIAL = frozenset((b"irot", b"imir", b"clap", b"hvcC", b"av1C"))


@dataclasses.dataclass(frozen=True)
class Item:
  """A picture in a file.

  Attributes:
    kind: four bytes, such as `av01` or `grid`.
    data: its bytes.
    properties: boxes.
    inputs: numbers of the items that it is derived from; the first item is 1.
  """

  kind: bytes
  data: bytes
  properties: tuple[bytes, ...]
  inputs: tuple[int, ...] = ()

  def with_properties(self, *properties: bytes) -> "Item":
    """Returns a copy with these properties appended."""
    return dataclasses.replace(self, properties=self.properties + properties)


def box(name: bytes, body: bytes) -> bytes:
  """A box: its length, its name and its body."""
  return struct.pack(">I", 8 + len(body)) + name + body


def _full(name, body, version=0, flags=0):
  return box(name, struct.pack(">I", version << 24 | flags) + body)


def coded(image: np.ndarray, image_format: str) -> Item:
  """A coded picture without colours.

  Args:
    image: [H, W, 3] uint8.
    image_format: AVIF, or HEIF, which needs pillow-heif.
  """
  buffer = io.BytesIO()
  if image_format == "HEIF":
    import pillow_heif

    pillow_heif.register_heif_opener()
    options, kind, decoder = {"chroma": 444}, b"hvc1", b"hvcC"
  else:
    options, kind, decoder = {"subsampling": "4:4:4"}, b"av01", b"av1C"
  PIL.Image.fromarray(image).save(buffer, image_format, quality=90, **options)
  parts = dict(_boxes(buffer.getvalue()))
  tables = dict(_boxes(dict(_boxes(parts[b"meta"][4:]))[b"iprp"]))
  properties = dict(_boxes(tables[b"ipco"]))
  kept = tuple(box(name, properties[name]) for name in (decoder, b"ispe", b"pixi"))
  return Item(kind, parts[b"mdat"], kept)


def derived(kind: bytes, size: tuple[int, int], count: int = 1) -> Item:
  """A picture that is derived from other pictures.

  Args:
    kind: `iden` for a copy of the other picture, `grid` for the pictures side by side, or `iovl`
      for the pictures on top of each other at the upper left corner.
    size: width and height of the result.
    count: number of other pictures, which are items 2, 3, ...
  """
  data = b""
  if kind == b"grid":
    data = struct.pack(">BBBBHH", 0, 0, 0, count - 1, *size)
  elif kind == b"iovl":
    data = struct.pack(">BB4H2H", 0, 0, 0, 0, 0, 65535, *size) + bytes(4 * count)
  properties = _full(b"ispe", struct.pack(">II", *size)), _full(b"pixi", b"\3\10\10\10")
  return Item(kind, data, properties, tuple(range(2, 2 + count)))


def nclx(primaries: int, transfer: int, matrix: int = 6, full: bool = True) -> bytes:
  """Colours by code points of ITU-T H.273."""
  return box(b"colr", b"nclx" + struct.pack(">HHHB", primaries, transfer, matrix, full << 7))


def profile(icc: bytes) -> bytes:
  """Colours by an ICC profile."""
  return box(b"colr", b"prof" + icc)


def irot(quarters: int) -> bytes:
  """A turn, anticlockwise."""
  return box(b"irot", bytes([quarters]))


def imir(axis: int) -> bytes:
  """A mirror: 0 turns rows around, 1 columns."""
  return box(b"imir", bytes([axis]))


def clap(width: int, height: int) -> bytes:
  """A clean aperture in the middle."""
  return box(b"clap", struct.pack(">8I", width, 1, height, 1, 0, 1, 0, 1))


def file_of(*items: Item) -> bytes:
  """A file that shows the first item."""
  is_avif = any(item.kind == b"av01" for item in items)
  brand = b"avif" if is_avif else b"heic"
  start = box(b"ftyp", brand + bytes(4) + b"mif1" + brand + b"miaf")
  place = len(start) + len(_meta(items, 0)) + 8
  return start + _meta(items, place) + box(b"mdat", b"".join(item.data for item in items))


def _meta(items, place):
  """The tables, for data that begins at this position."""
  properties = list(dict.fromkeys(one for item in items for one in item.properties))
  hidden = {number for item in items for number in item.inputs}
  entries = locations = kinds = references = b""
  for number, item in enumerate(items, 1):
    entries += struct.pack(">HB", number, len(item.properties))
    for one in item.properties:
      entries += bytes([(one[4:8] in _ESSENTIAL) << 7 | (properties.index(one) + 1)])
    locations += struct.pack(">HHHHII", number, 0, 0, 1, place, len(item.data))
    place += len(item.data)
    kinds += _full(b"infe", struct.pack(">HH", number, 0) + item.kind + b"\0", 2, number in hidden)
    if item.inputs:
      numbers = struct.pack(f">{len(item.inputs)}H", *item.inputs)
      references += box(b"dimg", struct.pack(">HH", number, len(item.inputs)) + numbers)
  count = struct.pack(">H", len(items))
  return _full(
    b"meta",
    _full(b"hdlr", bytes(4) + b"pict" + bytes(13))
    + _full(b"pitm", b"\0\1")
    + _full(b"iinf", count + kinds)
    + (_full(b"iref", references) if references else b"")
    + box(
      b"iprp",
      box(b"ipco", b"".join(properties)) + _full(b"ipma", b"\0\0" + count + entries),
    )
    + _full(b"iloc", b"\x44\0" + count + locations, 1),
  )


def _boxes(content) -> Iterator[tuple[bytes, bytes]]:
  start = 0
  while start + 8 <= len(content):
    size = int.from_bytes(content[start : start + 4], "big") or len(content) - start
    yield content[start + 4 : start + 8], content[start + 8 : start + size]
    start += size
