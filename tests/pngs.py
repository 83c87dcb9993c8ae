"""PNG files with chunks of any content."""

import io
import struct
import zlib
from typing import Optional

import numpy as np
import PIL.Image

__all__ = ["levels", "png"]


def levels(*shape: int) -> np.ndarray:
  """Random levels of this shape, uint8, the same at each call."""
  return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def png(*extra: tuple, colours: Optional[np.ndarray] = None) -> bytes:
  """A PNG file with further chunks, (name, body[, change of the CRC]), before its pixels."""
  buffer = io.BytesIO()
  PIL.Image.fromarray(levels(4, 6, 3) if colours is None else colours).save(buffer, "PNG")
  data = buffer.getvalue()
  chunks = b""
  for name, body, *wrong in extra:
    crc = zlib.crc32(name + body) ^ (wrong[0] if wrong else 0)
    chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)
  return data[:33] + chunks + data[33:]
