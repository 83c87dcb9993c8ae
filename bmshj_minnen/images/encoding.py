"""Encodes arrays as picture files with metadata."""

import io
import pathlib
from typing import Optional

import numpy as np
import PIL.Image
import PIL.PngImagePlugin

from bmshj_minnen import checks
from bmshj_minnen.images import exif
from bmshj_minnen.images.metadata import Metadata

__all__ = ["DEFAULT_LOSSY_QUALITY", "LOSSLESS", "LOSSY", "encode", "fitting", "format_of", "names"]

# Pillow's names, by suffix.
LOSSLESS = {".png": "PNG", ".ppm": "PPM", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}
LOSSY = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}
DEFAULT_LOSSY_QUALITY = 95  # Quality of the lossy formats; the loss is hardly visible.

_OPTIONS = {
  "JPEG": {"subsampling": "4:4:4", "optimize": True},
  "WEBP": {"method": 4},
  "AVIF": {"subsampling": "4:4:4"},
}
_MAX_SIDES = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65535}
_UNBOUNDED = (2**31, 2**31)
# Maximum bytes of EXIF and of XMP; other formats store no metadata.
_ROOM = {
  "PNG": _UNBOUNDED,
  "WEBP": _UNBOUNDED,
  "AVIF": _UNBOUNDED,
  "JPEG": (65533 - len(exif.PREFIX), 65533 - len(b"http://ns.adobe.com/xap/1.0/\0")),
}
_XMP_OF_PNG = "XML:com.adobe.xmp"


def names() -> list[str]:
  """All suffixes of the formats that are written, without dots."""
  return [suffix[1:] for suffix in {**LOSSLESS, **LOSSY}]


def format_of(path: str) -> str:
  """Pillow's name of the format for the suffix of a path; PNG without a suffix.

  Raises:
    ValueError: files with this suffix are not written.
  """
  suffix = pathlib.Path(path).suffix.lower()
  known = {"": "PNG", **LOSSLESS, **LOSSY}
  if suffix not in known:
    raise ValueError(f"{path}: pictures are written as one of .{', .'.join(names())}")
  return known[suffix]


def fitting(metadata: Metadata, image_format: str) -> tuple[Metadata, list[str]]:
  """The metadata that fit into files of a format, and a line for each kind that is left out."""
  rooms = _ROOM.get(image_format, (0, 0))
  kept, lines = {}, []
  for name, value, room in zip(Metadata._fields, metadata, rooms):
    if len(value) <= room:
      kept[name] = value
    else:
      has_room_for = f"has room for {room} bytes of" if room else "holds no"
      lines.append(
        f"{image_format} {has_room_for} {name.upper()}: {len(value)} bytes of it are left out"
      )
  return Metadata(**kept), lines


def encode(
  image: np.ndarray,
  image_format: str = "PNG",
  quality: Optional[int] = None,
  metadata: Metadata = Metadata(),  # noqa: B008
) -> bytes:
  """Encodes a picture as a file.

  Args:
    image: [H, W, 3] uint8, sRGB, upright.
    image_format: one of the values of `LOSSLESS` and `LOSSY`.
    quality: Pillow's quality of `LOSSY` formats, 1 to 100; None: `DEFAULT_LOSSY_QUALITY`.
    metadata: metadata that fit into the format, see `fitting`.

  Raises:
    TypeError: `image` is not an array.
    ValueError: `image` has another shape or dtype, the picture is too large for the format, or this
      Pillow cannot write it.
  """
  height, width = checks.image(image)
  limit = _MAX_SIDES.get(image_format, 2**31)
  if max(height, width) > limit:
    raise ValueError(f"{width}x{height} is too large for {image_format}: at most {limit} a side")
  options = dict(_OPTIONS.get(image_format, {}))
  if image_format in LOSSY.values():
    options["quality"] = DEFAULT_LOSSY_QUALITY if quality is None else quality
  options.update(_metadata_options(metadata, image_format))
  buffer = io.BytesIO()
  try:
    PIL.Image.fromarray(image).save(buffer, format=image_format, **options)
  except KeyError as error:
    raise ValueError(f"this Pillow cannot write {image_format}") from error
  return buffer.getvalue()


def _metadata_options(metadata, image_format):
  options = {}
  if metadata.exif:
    prefix = exif.PREFIX if image_format == "JPEG" else b""
    options["exif"] = prefix + metadata.exif
  if metadata.xmp and image_format == "PNG":
    options["pnginfo"] = PIL.PngImagePlugin.PngInfo()
    options["pnginfo"].add_itxt(_XMP_OF_PNG, metadata.xmp.decode("utf-8", "replace"))
  elif metadata.xmp:
    options["xmp"] = metadata.xmp
  return options
