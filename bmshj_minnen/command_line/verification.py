"""Checks that compressed files are intact, can be decoded, and match their photographs."""

import dataclasses
from typing import Any, Callable, Optional

import numpy as np

from bmshj_minnen.coding.codec import Codec, Latents
from bmshj_minnen.command_line import archive_contents, files, manifest
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.format import reading
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.psnr import psnr

__all__ = ["MODES", "Check", "WrongFileError", "refuse_wrong"]

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
    contents: the files of the archive.
    min_psnr: minimum PSNR of a picture against its photograph, in dB.
    alpha: treatment of transparency in photographs, see `image_files.read_image`.
  """

  mode: str
  codec_for: Callable[[bytes], Codec]
  contents: archive_contents.Contents
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
    sources, record = self.contents.sources, self.contents.records.get(path, {})
    source = sources.get(path) if sources else None
    if source is not None:
      facts["photograph"] = source
    elif sources is not None and path not in self.contents.gone:
      raise WrongFileError(
        "has no photograph among the sources: delete it if the photograph was deleted"
      )
    data = files.read(path)
    facts["bytes"] = len(data)
    is_compressed = path.endswith(archive_contents.SUFFIX)
    if is_compressed:
      header, _ = reading.parse_intact(data)
      facts.update(width=header.width, height=header.height, quality=header.quality)
      facts["model"] = catalogue.name_of(header.fingerprint)
    if record and record["sha256"] != manifest.digest(data):
      raise WrongFileError(f"is not the file that {manifest.NAME} lists")
    if source is not None:
      self._compare_origin(path, source, record)
    if self.mode == "decode" and is_compressed:
      picture = self.codec_for(data).decompress(data, progress=progress)
      if source is not None:
        self._compare_pixels(source, picture, facts)

  def _compare_origin(self, path, source, record):
    """Compares time and content with what the file was made of."""
    if not outputs.has_time_of(path, source):
      raise WrongFileError(f"is not of {source} as that is now: their times differ")
    recorded = record.get("source_sha256")
    if recorded and recorded != manifest.digest(files.read(source)):
      raise WrongFileError(f"is not of {source} as that is now: its content is another")

  def _compare_pixels(self, source, picture, facts):
    original = image_files.read_image(source, self.alpha, lambda text: None)
    if original.shape != picture.shape:
      sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (picture, original)]
      raise WrongFileError(f"is {sizes[0]}, but {source} is {sizes[1]}")
    value = psnr(original, picture)
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
