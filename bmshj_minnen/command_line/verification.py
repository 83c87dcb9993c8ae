"""Checks that compressed files are intact, can be decoded, and match their photographs."""

import dataclasses
import filecmp
import os
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

import numpy as np

from bmshj_minnen.coding.codec import Codec, Latents
from bmshj_minnen.command_line import archive, files, manifest, planning
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.format import reading
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.psnr import psnr

__all__ = [
  "MODES",
  "Check",
  "WrongFileError",
  "missing",
  "records_of",
  "refuse_wrong",
  "sources_of",
]

MODES = ("checksum", "decode")


class WrongFileError(ValueError):
  """A compressed file is intact, but does not match its photograph.

  The message continues a sentence that begins with the name of the file.
  """


@dataclasses.dataclass(frozen=True)
class Check:
  """Verifies one file.

  Attributes:
    mode: one of `MODES`: only the checksum, or also the decoded picture.
    codec_for: content of a file -> the codec that decodes it; not called in mode "checksum".
    sources: compressed file -> its photograph, if it has one; None: photographs are not compared.
    records: compressed file -> its row in the manifest, if it has one.
    min_psnr: minimum PSNR of a picture against its photograph, in dB.
    alpha: treatment of transparency in photographs, see `image_files.read_image`.
  """

  mode: str
  codec_for: Callable[[bytes], Codec]
  sources: Optional[dict[str, str]]
  records: dict[str, dict[str, str]]
  min_psnr: float
  alpha: Optional[str]

  def __call__(self, path: str, progress: Callable[[float], None], facts: dict[str, Any]) -> None:
    """Verifies a file.

    Args:
      path: path of the file.
      progress: called with the fraction that is done.
      facts: receives figures of the file, as far as they are known.

    Raises:
      BitstreamError: the file is damaged.
      OSError: the file, or its photograph, cannot be read.
      ValueError: no shipped model wrote the file, it does not match its photograph, or the
        photograph is not supported.
    """
    source = None
    if self.sources is not None:
      source = self.sources.get(path)
      if source is None:
        raise WrongFileError("has no photograph among the sources")
      facts["photograph"] = source
    data = files.read(path)
    facts["bytes"] = len(data)
    header, _ = reading.parse_intact(data)
    facts.update(width=header.width, height=header.height, quality=header.quality)
    facts["model"] = catalogue.name_of(header.fingerprint)
    record = self.records.get(path, {})
    if record and record["sha256"] != manifest.digest(data):
      raise WrongFileError(f"is not the file that {manifest.NAME} lists")
    if source is not None:
      self._compare(path, source, data, header, progress, facts)
    elif self.mode == "decode":
      self.codec_for(data).decompress(data, progress=progress)

  def _compare(self, path, source, data, header, progress, facts):
    """Compares a file with its photograph: time and, in mode "decode", size and pixels."""
    if not outputs.has_time_of(path, source):
      raise WrongFileError(f"is not of {source} as that is now: their times differ")
    recorded = self.records.get(path, {}).get("source_sha256")
    if recorded and recorded != manifest.digest(files.read(source)):
      raise WrongFileError(f"is not of {source} as that is now: its content is another")
    if self.mode == "checksum":
      return
    original = image_files.read_image(source, self.alpha, lambda text: None)
    if original.shape[:2] != (header.height, header.width):
      size = f"{original.shape[1]}x{original.shape[0]}"
      raise WrongFileError(f"is {header.width}x{header.height}, but {source} is {size}")
    value = psnr(original, self.codec_for(data).decompress(data, progress=progress))
    facts["psnr_db"] = round(float(value), 3) if value < float("inf") else None
    if value < self.min_psnr:
      raise WrongFileError(f"has a PSNR of {value:.2f} dB beside {source}")


def refuse_wrong(codec: Codec, data: bytes, latents: Latents, image: np.ndarray) -> None:
  """Raises WrongFileError unless a new file decodes to its latents, and to a picture of its size.

  Args:
    codec: the codec that made the file.
    data: the file.
    latents: the latents that were encoded.
    image: the photograph, [H, W, 3] uint8.
  """
  decoded, picture = codec.decompress_with_latents(data)
  same = all(map(np.array_equal, decoded, latents))
  if not same or picture.shape != image.shape:
    raise WrongFileError("decodes to other latents than were encoded: it was not written")


def sources_of(paths: Iterable[str], roots: Iterable[str], source_root: str) -> dict[str, str]:
  """The photographs of compressed files, by the names that `compress --output_dir` gives.

  A file that is named for a whole name, as by `--keep_extensions`, is of that photograph.

  Args:
    paths: compressed files.
    roots: folders in which the compressed files were found.
    source_root: folder of the photographs, searched with all its subfolders.

  Returns:
    Compressed file -> photograph, for files that have one.
  """
  photographs = dict(_photographs(source_root))
  result = {}
  for path in paths:
    for root in roots:
      place = os.path.splitext(os.path.relpath(path, root))[0]
      if place in photographs:
        result[path] = photographs[place]
  return result


def records_of(roots: Iterable[str]) -> dict[str, dict[str, str]]:
  """Path of each file that the manifests of some folders list -> its row."""
  return {
    os.path.normpath(os.path.join(root, place)): row
    for root in roots
    for place, row in (archive.records_of(root) or {}).items()
  }


def missing(verified: Iterable[str], source_root: str, roots: Iterable[str]) -> list[str]:
  """Photographs of a folder that are neither among the verified ones nor copied.

  Args:
    verified: photographs that have a compressed file.
    source_root: folder of the photographs, searched with all its subfolders.
    roots: folders of compressed files, where `compress --keep_smaller` copies photographs.
  """
  left = set(dict(_photographs(source_root)).values()) - set(verified)
  return sorted(path for path in left if not _is_copied(path, source_root, roots))


def _is_copied(path, source_root, roots):
  copies = [os.path.join(root, os.path.relpath(path, source_root)) for root in roots]
  return any(os.path.isfile(c) and filecmp.cmp(c, path, shallow=False) for c in copies)


def _photographs(root: str) -> Iterator[tuple[str, str]]:
  for path, place in planning.find(root, image_files.SUFFIXES, recursive=True):
    yield os.path.splitext(place)[0], os.path.normpath(path)
    yield place, os.path.normpath(path)
