"""Checks that compressed files are intact, can be decoded, and match their photographs."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.command_line import files, planning
from bmshj_minnen.format import reading
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.photographs import images, outputs
from bmshj_minnen.psnr import psnr

__all__ = ["MODES", "Check", "WrongFileError", "missing", "sources_of"]

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
    min_psnr: minimum PSNR of a picture against its photograph, in dB.
    alpha: treatment of transparency in photographs, see `images.read_image`.
  """

  mode: str
  codec_for: Callable[[bytes], Codec]
  sources: Optional[dict[str, str]]
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
    if source is not None:
      self._compare(path, source, data, header, progress, facts)
    elif self.mode == "decode":
      self.codec_for(data).decompress(data, progress=progress)

  def _compare(self, path, source, data, header, progress, facts):
    """Compares a file with its photograph: time and, in mode "decode", size and pixels."""
    if not outputs.has_time_of(path, source):
      raise WrongFileError(f"is not of {source} as that is now: their times differ")
    if self.mode == "checksum":
      return
    original = images.read_image(source, self.alpha, lambda text: None)
    if original.shape[:2] != (header.height, header.width):
      size = f"{original.shape[1]}x{original.shape[0]}"
      raise WrongFileError(f"is {header.width}x{header.height}, but {source} is {size}")
    value = psnr(original, self.codec_for(data).decompress(data, progress=progress))
    facts["psnr_db"] = round(float(value), 3) if value < float("inf") else None
    if value < self.min_psnr:
      raise WrongFileError(f"has a PSNR of {value:.2f} dB beside {source}")


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


def missing(verified: Iterable[str], source_root: str) -> list[str]:
  """Photographs of a folder that are not among the verified ones."""
  return sorted(set(dict(_photographs(source_root)).values()) - set(verified))


def _photographs(root: str) -> Iterator[tuple[str, str]]:
  for path, place in planning.find(root, images.SUFFIXES, recursive=True):
    yield os.path.splitext(place)[0], os.path.normpath(path)
    yield place, os.path.normpath(path)
