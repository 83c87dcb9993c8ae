"""What a corpus goes through: compressing and decompressing, as on the command line."""

import dataclasses
import functools
import io
import logging
import os
import pathlib
import tempfile
from typing import ClassVar, Optional

import PIL.PngImagePlugin
from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.coding import tiling
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.command_line import existing
from bmshj_minnen.config import CODEC_PRECISIONS
from bmshj_minnen.corpus import storage
from bmshj_minnen.format import reading
from bmshj_minnen.model_files import catalogue, model_directory
from bmshj_minnen.photographs import images
from bmshj_minnen.quality import DEFAULT_QUALITY

__all__ = ["Compression", "Decompression", "model_for_workers"]

_LOG = logging.getLogger(__name__)
_PNG_END = bytes(4) + b"IEND" + bytes.fromhex("ae426082")  # The last chunk, whole.


@dataclasses.dataclass(frozen=True)
class Compression:
  """A photograph becomes the file that `compress` writes.

  Attributes:
    model: a directory, on any of Beam's file systems, or the name of a model that ships; see
      `model_for_workers`.
    alpha: see `images.read_image`.
    memory, precision: as of `Codec`.
    quality: what `Codec.compress` is given: a quality, a target, or nothing.
  """

  model: str
  alpha: Optional[str] = None
  memory: int = tiling.DEFAULT_MEMORY
  precision: str = CODEC_PRECISIONS[0]
  quality: dict[str, float] = dataclasses.field(default_factory=dict)

  suffixes: ClassVar = images.SUFFIXES
  new_suffix: ClassVar = ".tfci"
  compresses: ClassVar = True

  def load(self) -> Codec:
    """The codec of the model."""
    return _load(self.model, reading.DEFAULT_MAX_PIXELS, self.memory, self.precision)

  def convert(self, codec: Codec, path: str, content: bytes) -> tuple[bytes, int, int]:
    """The compressed file, and height and width."""
    image = images.read_image(path, self.alpha, _LOG.warning, content)
    return codec.compress(image, **self.quality), *image.shape[:2]

  def request(self, codec: Codec) -> str:
    """The model and all that results depend on otherwise, for the manifest."""
    default = {"quality": DEFAULT_QUALITY} if codec.config.gain_lambdas else {}
    asked = {name: float(value) for name, value in (self.quality or default).items()}
    settings = {"model": codec.fingerprint.hex(), **asked, "alpha": self.alpha}
    return " ".join(f"{name}={value}" for name, value in settings.items() if value is not None)

  def is_own(self, content: bytes) -> bool:
    """Whether it is a compressed file, whole or not."""
    return reading.is_start_of_file(content)

  def finished(
    self, codec: Codec, path: str, content: bytes, result: bytes
  ) -> Optional[tuple[int, int]]:
    """Height and width, if the result is whole and answers the request."""
    if self.alpha and not existing.is_opaque(path, content):
      return None
    read_source = functools.partial(images.read_image, path, self.alpha, _ignore, content)
    header = existing.header_of_answer(codec, self.quality, result, read_source)
    return header and (header.height, header.width)


@dataclasses.dataclass(frozen=True)
class Decompression:
  """A compressed file becomes a PNG.

  Attributes:
    model: as of `Compression`; empty: the shipped one that wrote each file.
    max_pixels: the largest image that is accepted.
    memory, precision: as of `Codec`.
  """

  model: str = ""
  max_pixels: int = reading.DEFAULT_MAX_PIXELS
  memory: int = tiling.DEFAULT_MEMORY
  precision: str = CODEC_PRECISIONS[0]

  suffixes: ClassVar = frozenset((".tfci",))
  new_suffix: ClassVar = ".png"
  compresses: ClassVar = False

  def load(self) -> "_Codecs":
    """The codecs that are needed."""
    return _Codecs(self)

  def convert(self, codecs: "_Codecs", path: str, content: bytes) -> tuple[bytes, int, int]:
    """The photograph as PNG, and height and width."""
    image = codecs.of(content).decompress(content)
    return images.encode_image(image), *image.shape[:2]

  def request(self, codecs: "_Codecs") -> str:
    """The same for all files."""
    return "png"

  def is_own(self, content: bytes) -> bool:
    """A picture does not say who wrote it."""
    return False

  def finished(
    self, codecs: "_Codecs", path: str, content: bytes, result: bytes
  ) -> Optional[tuple[int, int]]:
    """Height and width, if the result is a whole PNG of the size that the source declares."""
    header, _ = reading.parse(content)
    size = header.height, header.width
    try:
      # Not `PIL.Image.open`, which takes large ones for an attack.
      with PIL.PngImagePlugin.PngImageFile(io.BytesIO(result)) as image:
        if (image.height, image.width) != size or not result.endswith(_PNG_END):
          return None
        image.verify()  # Checksums, some of which loading passes over; it can be done once.
      with PIL.PngImagePlugin.PngImageFile(io.BytesIO(result)) as image:
        image.load()
        return size
    except (OSError, SyntaxError, ValueError):
      return None


def _ignore(note):
  """Notes on a source were given when its result was made."""


class _Codecs:
  """One codec, or for each file that of the shipped model that wrote it."""

  def __init__(self, settings: Decompression):
    self._settings = settings.max_pixels, settings.memory, settings.precision
    self._codec = _load(settings.model, *self._settings) if settings.model else None

  def of(self, content: bytes) -> Codec:
    """The codec for a file."""
    if self._codec is not None:
      return self._codec
    return model_directory.load_for(content, *self._settings)


def model_for_workers(model: str) -> str:
  """A model as workers find it, whose working directory may be another one; names stay names."""
  is_here = storage.is_local(model) and os.path.isdir(model) and model not in catalogue.names()
  return os.path.abspath(model) if is_here else model


def _load(model, *settings):
  """A codec; a model that is elsewhere is copied first."""
  if storage.is_local(model):
    return model_directory.load(model, *settings)
  with tempfile.TemporaryDirectory() as folder:
    for name in model_directory.CODEC_FILES:
      content = storage.read_file(FileSystems.join(model, name))
      pathlib.Path(folder, name).write_bytes(content)
    return model_directory.load(folder, *settings)
