"""Encoders of JPEG that save more than libjpeg-turbo: jpegli and MozJPEG.

Both decode with libjpeg-turbo, which every reader of JPEG resembles. (jpegli's own decoder gives
0.2 dB less on its own files, and up to 0.4 dB more on others.) Their packages:

    jpegli    pyjpegli, BSD-3-Clause; it offers only the quality, and 4:2:0
    MozJPEG   pyvips, MIT, with libvips (LGPL-3.0-or-later) and MozJPEG in its wheel pyvips-binary

jpegli optimizes visual quality, and has no setting for PSNR. MozJPEG's trellis quantization saves
more by PSNR with flat tables than with any other of its nine.
"""

import dataclasses
import importlib
import importlib.metadata
import logging
from typing import Callable

import numpy as np

from bmshj_minnen.evaluation import pillow_codecs
from bmshj_minnen.evaluation.formats import REMEDY_CODECS

__all__ = ["FORMATS", "JpegCodec", "JpegFormat"]


@dataclasses.dataclass(frozen=True)
class JpegFormat:
  """An encoder of JPEG.

  Attributes:
    encode: (image, quality) -> file.
    version: the encoder and its version; raises ValueError if it is not installed.
    suffix, limits, qualities: see `formats.Format`.
  """

  encode: Callable[[np.ndarray, int], bytes]
  version: Callable[[], str]
  suffix: str = ".jpg"
  limits: tuple[int, int] = (1, 100)
  qualities: tuple[int, ...] = pillow_codecs.JPEG_QUALITIES

  def make(self, quality: int) -> "JpegCodec":
    """The codec at one quality."""
    return JpegCodec(self, quality)


class JpegCodec:
  """An encoder of JPEG at one quality.

  Args:
    form: the encoder.
    quality: 1 to 100.

  Raises:
    ValueError: the encoder is not installed.
  """

  def __init__(self, form: JpegFormat, quality: int):
    form.version()
    self._encode = form.encode
    self._quality = quality

  def compress(self, image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 -> the bytes of a file."""
    return self._encode(np.ascontiguousarray(image), self._quality)

  def decompress(self, data: bytes) -> np.ndarray:
    """A file from `compress` -> [H, W, 3] uint8."""
    return pillow_codecs.decoded(data, "JPEG")


# It logs a line whenever its threads end.
logging.getLogger("pyvips").setLevel(logging.WARNING)


def _module(name, codec):
  try:
    return importlib.import_module(name)
  except (ImportError, OSError) as error:  # OSError: pyvips without a libvips.
    raise ValueError(f"{codec} needs {name}: {REMEDY_CODECS}") from error


def _jpegli(image, quality):
  height, width, _ = image.shape
  return _module("pyjpegli", "jpegli").encode(image.tobytes(), width, height, quality)


def _jpegli_version():
  _module("pyjpegli", "jpegli")
  return f"pyjpegli {importlib.metadata.version('pyjpegli')}"


# keep="none": neither metadata nor a colour profile.
_MOZJPEG = {
  "quant_table": 1,
  "trellis_quant": True,
  "optimize_scans": True,
  "interlace": True,
  "optimize_coding": True,
  "keep": "none",
}


def _mozjpeg(subsampling):
  def encode(image, quality):
    height, width, _ = image.shape
    picture = _module("pyvips", "MozJPEG").Image.new_from_memory(
      image.tobytes(), width, height, 3, "uchar"
    )
    return picture.jpegsave_buffer(Q=quality, subsample_mode=subsampling, **_MOZJPEG)

  return encode


def _mozjpeg_version():
  pyvips = _module("pyvips", "MozJPEG")
  libvips = ".".join(str(pyvips.version(part)) for part in range(3))
  # libvips ignores the settings of MozJPEG if it was built with another libjpeg.
  try:
    importlib.metadata.version("pyvips-binary")
  except importlib.metadata.PackageNotFoundError as error:
    raise ValueError(f"MozJPEG needs pyvips-binary: {REMEDY_CODECS}") from error
  settings = " ".join(f"{key}={value}" for key, value in _MOZJPEG.items())
  return f"MozJPEG in libvips {libvips}, {settings}"


FORMATS = {
  "jpegli420": JpegFormat(_jpegli, _jpegli_version),
  "mozjpeg420": JpegFormat(_mozjpeg("on"), _mozjpeg_version),
  "mozjpeg444": JpegFormat(_mozjpeg("off"), _mozjpeg_version),
}
