"""Files from their parts, in plain Python; `graph_writing` does the same within graphs."""

from typing import Optional

from bmshj_minnen.format import fields
from bmshj_minnen.quality import BYTES, QUALITIES

__all__ = ["pack", "version_of"]


def version_of(has_quality: bool) -> int:
  """The format version that a model writes, for many rates or for one."""
  return fields.MANY_RATES if has_quality else fields.ONE_RATE


def pack(
  fingerprint: bytes, height: int, width: int, payload: bytes, quality: Optional[float] = None
) -> bytes:
  """Makes a file.

  Args:
    fingerprint: 4 bytes, of the model.
    height, width: of the image, pixels, 1..65536.
    payload: less than 2^32 bytes.
    quality: one of `QUALITIES`, of a model for many rates.
  """
  version = version_of(quality is not None)
  head = fields.pack(
    version,
    fingerprint=fingerprint,
    height=height,
    width=width,
    payload_size=len(payload),
    quality=None if quality is None else BYTES[QUALITIES.index(quality)],
    checksum=b"",  # The last field, of all before it.
  )
  return head + fields.checksum(head + payload) + payload
