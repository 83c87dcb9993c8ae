"""Tasks for a corpus: compressing and decompressing, as on the command line."""

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
from bmshj_minnen.command_line import existing, own_modules
from bmshj_minnen.config import CODEC_PRECISIONS
from bmshj_minnen.corpus import storage
from bmshj_minnen.format import reading
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import catalogue, model_directory

__all__ = ["Compression", "Decompression", "model_for_workers"]

_LOG = logging.getLogger(__name__)
_PNG_END = bytes(4) + b"IEND" + bytes.fromhex("ae426082")  # The last chunk, whole.


@dataclasses.dataclass(frozen=True)
class Compression:
  """Compresses photographs to the files that `compress` writes.

  Attributes:
    model: a model directory, on any of Beam's file systems, or the name of a shipped model; see
      `model_for_workers`.
    alpha: treatment of transparency, see `image_files.read_image`.
    memory: bytes that the networks may take per file.
    precision: precision of g_a and g_s, one of `CODEC_PRECISIONS`.
    quality: keyword arguments of `Codec.compress`: a quality, a target, or none.
    imports: modules that register own parts of the model; workers import them before they load it.
  """

  model: str
  alpha: Optional[str] = None
  memory: int = tiling.DEFAULT_MEMORY
  precision: str = CODEC_PRECISIONS[0]
  quality: dict[str, float] = dataclasses.field(default_factory=dict)
  imports: tuple[str, ...] = ()

  suffixes: ClassVar = image_files.SUFFIXES
  new_suffix: ClassVar = ".tfci"
  compresses: ClassVar = True

  def load(self) -> Codec:
    """The codec of the model."""
    own_modules.import_all(self.imports)
    return _load(self.model, reading.DEFAULT_MAX_PIXELS, self.memory, self.precision)

  def convert(self, codec: Codec, path: str, content: bytes) -> tuple[bytes, int, int]:
    """The compressed file, and height and width of the image."""
    image = image_files.read_image(path, self.alpha, _LOG.warning, content)
    return codec.compress(image, **self.quality), *image.shape[:2]

  def request(self, codec: Codec) -> str:
    """The model and all other settings that results depend on, for the manifest."""
    return existing.request_text(codec, self.quality, alpha=self.alpha)

  def is_own(self, content: bytes) -> bool:
    """Whether the content is a compressed file, complete or not."""
    return reading.is_start_of_file(content)

  def finished(
    self, codec: Codec, path: str, content: bytes, result: bytes
  ) -> Optional[tuple[int, int]]:
    """Height and width, if the result is complete and satisfies the request; else None."""
    if self.alpha and not existing.is_opaque(path, content):
      return None
    read_source = functools.partial(image_files.read_image, path, self.alpha, _ignore, content)
    header = existing.header_if_satisfied(codec, self.quality, result, read_source)
    return header and (header.height, header.width)


@dataclasses.dataclass(frozen=True)
class Decompression:
  """Decompresses files to PNGs.

  Attributes:
    model: a model directory, on any of Beam's file systems, or the name of a shipped model; empty:
      the shipped model that wrote each file.
    max_pixels: maximum number of pixels; larger images are refused.
    memory: bytes that the networks may take per file.
    precision: precision of g_s, one of `CODEC_PRECISIONS`.
    imports: modules that register own parts of models; workers import them before they load any.
  """

  model: str = ""
  max_pixels: int = reading.DEFAULT_MAX_PIXELS
  memory: int = tiling.DEFAULT_MEMORY
  precision: str = CODEC_PRECISIONS[0]
  imports: tuple[str, ...] = ()

  suffixes: ClassVar = frozenset((".tfci",))
  new_suffix: ClassVar = ".png"
  compresses: ClassVar = False

  def load(self) -> "_Codecs":
    """The codec of the model, or codecs of shipped models, loaded when a file needs them."""
    own_modules.import_all(self.imports)
    return _Codecs(self)

  def convert(self, codecs: "_Codecs", path: str, content: bytes) -> tuple[bytes, int, int]:
    """The picture as PNG, and its height and width."""
    image = codecs.of(content).decompress(content)
    return image_files.encode_image(image), *image.shape[:2]

  def request(self, codecs: "_Codecs") -> str:
    """A constant: results depend on their sources only."""
    return "png"

  def is_own(self, content: bytes) -> bool:
    """False, because a picture does not record which program wrote it."""
    return False

  def finished(
    self, codecs: "_Codecs", path: str, content: bytes, result: bytes
  ) -> Optional[tuple[int, int]]:
    """Height and width, if the result is a complete PNG of the size in the source; else None."""
    header, _ = reading.parse(content)
    size = header.height, header.width
    try:
      # `PIL.Image.open` would refuse large images as an attack.
      with PIL.PngImagePlugin.PngImageFile(io.BytesIO(result)) as image:
        if (image.height, image.width) != size or not result.endswith(_PNG_END):
          return None
        image.verify()  # Loading skips some checksums; an open image can be verified only once.
      with PIL.PngImagePlugin.PngImageFile(io.BytesIO(result)) as image:
        image.load()
        return size
    except (OSError, SyntaxError, ValueError):
      return None


def _ignore(note):
  """Drops a note; notes on a source were printed when its result was made."""


class _Codecs:
  """One codec for all files, or for each file the codec of the shipped model that wrote it."""

  def __init__(self, settings: Decompression):
    self._settings = settings.max_pixels, settings.memory, settings.precision
    self._codec = _load(settings.model, *self._settings) if settings.model else None

  def of(self, content: bytes) -> Codec:
    """The codec for a file."""
    if self._codec is not None:
      return self._codec
    return model_directory.load_for(content, *self._settings)


def model_for_workers(model: str) -> str:
  """A model for workers in another working directory: an absolute path, or a name unchanged."""
  is_here = storage.is_local(model) and os.path.isdir(model) and model not in catalogue.names()
  return os.path.abspath(model) if is_here else model


def _load(model, *settings):
  """A codec; a model on a remote file system is copied first."""
  if storage.is_local(model):
    return model_directory.load(model, *settings)
  with tempfile.TemporaryDirectory() as folder:
    for name in model_directory.CODEC_FILES:
      content = storage.read_file(FileSystems.join(model, name))
      pathlib.Path(folder, name).write_bytes(content)
    return model_directory.load(folder, *settings)
