"""The part of a file before the image: EXIF and XMP."""

from typing import NamedTuple

from bmshj_minnen.format import fields
from bmshj_minnen.format.errors import BitstreamError, Problem
from bmshj_minnen.format.fields import METADATA

__all__ = ["Part", "read", "with_metadata"]

_CHECKSUM = "metadata_checksum"  # Covers the whole part, with zeros in the place of the checksum.
_ZEROS = bytes(fields.field(_CHECKSUM).size)


class Part(NamedTuple):
  """The metadata before an image; all empty if the part is missing.

  Attributes:
    size: bytes of the part; the image begins after them.
    exif, xmp: the metadata.
  """

  size: int = 0
  exif: bytes = b""
  xmp: bytes = b""


def with_metadata(data: bytes, exif: bytes, xmp: bytes) -> bytes:
  """A file with metadata before it; unchanged if `exif` and `xmp` are empty.

  Args:
    data: a file that `Codec.compress` returned.
    exif: EXIF from its TIFF header on; less than 2^32 bytes.
    xmp: an XML packet in UTF-8; less than 2^32 bytes.
  """
  if not exif and not xmp:
    return data
  content = exif + xmp
  head = _header(len(exif), len(xmp))
  return _header(len(exif), len(xmp), fields.checksum(head + content)) + content + data


def _header(exif_size, xmp_size, checksum=_ZEROS):
  sizes = {"exif_size": exif_size, "xmp_size": xmp_size}
  return fields.pack(METADATA, **{_CHECKSUM: checksum}, **sizes)


def read(data: bytes) -> Part:
  """The metadata before the image of a file.

  Raises:
    BitstreamError: the metadata are truncated or damaged.
  """
  if not data.startswith(fields.MAGIC + bytes([METADATA])):
    return Part()
  head, found = fields.header_size(METADATA), len(data)
  if found < head:
    raise BitstreamError(Problem.TRUNCATED_METADATA, found, f"{head} bytes", found)
  values = fields.unpack(data)
  middle = head + values["exif_size"]
  end = middle + values["xmp_size"]
  if found < end:
    raise BitstreamError(Problem.TRUNCATED_METADATA, found, f"more than {end} bytes", found)
  header = _header(values["exif_size"], values["xmp_size"])
  expected, checksum = fields.checksum(header + data[head:end]), values[_CHECKSUM]
  if checksum != expected:
    where = fields.offset(_CHECKSUM, METADATA)
    raise BitstreamError(Problem.DAMAGED_METADATA, where, expected.hex(), checksum.hex())
  return Part(end, data[head:middle], data[middle:end])
