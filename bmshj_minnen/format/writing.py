"""Makes files from their parts, in plain Python; `graph_writing` does the same within graphs."""

from typing import Optional

from bmshj_minnen.format import fields
from bmshj_minnen.quality import BYTES, QUALITIES

__all__ = ["pack", "version_of"]


def version_of(has_quality: bool) -> int:
  """The format version that a model for many rates, or for one rate, writes."""
  return fields.MANY_RATES if has_quality else fields.ONE_RATE


def pack(
  fingerprint: bytes, height: int, width: int, payload: bytes, quality: Optional[float] = None
) -> bytes:
  """Makes a file.

  Args:
    fingerprint: 4 bytes, the fingerprint of the model.
    height, width: size of the image, 1..65536 pixels.
    payload: less than 2^32 bytes.
    quality: one of `QUALITIES` for a model for many rates; None: the model is for one rate.
  """
  version = version_of(quality is not None)
  head = fields.pack(
    version,
    fingerprint=fingerprint,
    height=height,
    width=width,
    payload_size=len(payload),
    quality=None if quality is None else BYTES[QUALITIES.index(quality)],
    checksum=b"",  # The last field; it covers all fields before it.
  )
  return head + fields.checksum(head + payload) + payload
