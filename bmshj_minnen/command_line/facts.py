"""Facts about compressed files, from their headers alone."""

from typing import Any

from bmshj_minnen.format import reading
from bmshj_minnen.model_files import catalogue

__all__ = ["facts_of"]


def facts_of(data: bytes) -> dict[str, Any]:
  """The facts about a file, by name; `expected_checksum` is the one that it should have.

  Raises:
    BitstreamError: the file is damaged, or has another format.
  """
  header, payload = reading.parse(data)
  return {
    "format_version": header.version,
    "fingerprint": header.fingerprint.hex(),
    "model": catalogue.name_of(header.fingerprint),
    "width": header.width,
    "height": header.height,
    "quality": header.quality,
    "bytes": len(data),
    "header_bytes": header.size,
    "payload_bytes": len(payload),
    "metadata_bytes": header.start,
    "exif_bytes": len(header.exif),
    "xmp_bytes": len(header.xmp),
    "bits_per_pixel": 8 * len(data) / (header.height * header.width),
    "checksum": header.checksum.hex(),
    "expected_checksum": header.expected_checksum.hex(),
    "intact": header.checksum == header.expected_checksum,
  }
