"""Classical codecs that Pillow writes, set for the best PSNR.

The two variants of JPEG 2000 have the same curve for one image, but very different curves for
averages: only jpeg2000 spends as many bits on an easy image as on a hard one. BPG is x265 intra in
a smaller container; hevc444 takes its place if no BPG encoder is available.

JPEG keeps the quantization tables of its standard (annex K), as in published curves; flat tables,
which suit PSNR better, save 10 to 22 % (findings/jpeg_flat_tables_psnr.sh). x265 codes a still
image at 3 QP below the given one, so QP 32 here is QP 29 in its stream.
"""

import dataclasses
import io
from typing import Any, Callable

import numpy as np
import PIL.features
import PIL.Image

from bmshj_minnen.evaluation.formats import REMEDY

__all__ = ["FORMATS", "JPEG_QUALITIES", "PillowCodec", "PillowFormat", "decoded"]


@dataclasses.dataclass(frozen=True)
class PillowFormat:
  """Settings with which Pillow writes a format.

  Attributes:
    pillow_format: name of the format in Pillow.
    suffix: suffix of files, with the dot.
    library: encoder whose version `PIL.features` returns; pillow-heif returns the version of x265.
    limits: the lowest and the highest quality.
    qualities: qualities that span the useful rates.
    options: quality -> arguments of Pillow's `save`.
  """

  pillow_format: str
  suffix: str
  library: str
  limits: tuple[int, int]
  qualities: tuple[int, ...]
  options: Callable[[int], dict[str, Any]]

  def version(self) -> str:
    """The encoder and its version.

    Raises:
      ValueError: the encoder is not installed.
    """
    if self.library == "x265":
      return _pillow_heif().libheif_info()["HEIF"].replace(" HEVC encoder", "")
    version = PIL.features.version(self.library)
    if version is None:
      raise ValueError(f"this Pillow has no {self.library}: {REMEDY}")
    return f"{self.library} {version}"

  def make(self, quality: int) -> "PillowCodec":
    """The codec at one quality."""
    return PillowCodec(self, quality)


def _jpeg(subsampling):
  def options(quality):
    return {"quality": quality, "subsampling": subsampling, "optimize": True}

  return options


def _jpeg2000(mode):
  def options(quality):
    # Over 12 Kodak images, mct (the colour transform) gains 4.0 dB (1.8 to 6.2), and irreversible
    # (the 9/7 wavelet) gains 0.9 dB (0.3 to 1.9).
    return {
      "quality_mode": mode,
      "quality_layers": [quality],
      "irreversible": True,
      "mct": 1,
      "no_jp2": True,
    }

  return options


def _avif(quality):
  # By default, libavif tunes for visual quality, which costs 10 % of the bits. Tiles and more
  # threads cost another 0.5 to 1.4 %, and files would depend on the number of processors.
  return {
    "quality": quality,
    "subsampling": "4:4:4",
    "codec": "aom",
    "speed": 4,
    "autotiling": False,
    "max_threads": 1,
    "advanced": {"tune": "psnr"},
  }


def _hevc(qp):
  # Matrix 1 is YCbCr of BT.709, which pillow-heif writes in full range. In 4:4:4, psy-rd would
  # raise the QP of chroma by 6.
  encoder = {"preset": "veryslow", "tune": "ssim", "x265:psy-rd": 0, "x265:qp": qp}
  return {"chroma": 444, "matrix_coefficients": 1, "enc_params": encoder}


JPEG_QUALITIES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)

FORMATS = {
  "jpeg420": PillowFormat(
    "JPEG", ".jpg", "libjpeg_turbo", (1, 100), JPEG_QUALITIES, _jpeg("4:2:0")
  ),
  "jpeg444": PillowFormat(
    "JPEG", ".jpg", "libjpeg_turbo", (1, 100), JPEG_QUALITIES, _jpeg("4:4:4")
  ),
  "jpeg2000": PillowFormat(
    "JPEG2000",
    ".j2k",
    "jpg_2000",
    (1, 1000),
    (240, 160, 120, 80, 60, 48, 40, 30, 24, 16, 12, 8),
    _jpeg2000("rates"),
  ),
  "jpeg2000_psnr": PillowFormat(
    "JPEG2000",
    ".j2k",
    "jpg_2000",
    (10, 50),
    (22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44),
    _jpeg2000("dB"),
  ),
  "webp": PillowFormat(
    "WEBP",
    ".webp",
    "webp",
    (0, 100),
    (0, 5, 10, 20, 30, 45, 60, 75, 85, 92, 97),
    lambda quality: {"quality": quality, "method": 6},
  ),
  "avif": PillowFormat(
    "AVIF", ".avif", "avif", (0, 100), (5, 12, 20, 30, 40, 50, 60, 70, 80, 90), _avif
  ),
  "hevc444": PillowFormat(
    "HEIF", ".heic", "x265", (0, 51), (48, 45, 42, 39, 36, 33, 30, 27, 24, 20, 16), _hevc
  ),
}


class PillowCodec:
  """A format at one quality.

  Args:
    form: the format.
    quality: quality of the format, within its limits.

  Raises:
    ValueError: the encoder is not installed.
  """

  def __init__(self, form: PillowFormat, quality: int):
    form.version()
    self._pillow_format = form.pillow_format
    self._options = form.options(quality)

  def compress(self, image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 -> the bytes of a file.

    Raises:
      OSError, ValueError: the format does not support images of this size.
    """
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, self._pillow_format, **self._options)
    return buffer.getvalue()

  def decompress(self, data: bytes) -> np.ndarray:
    """A file from `compress` -> [H, W, 3] uint8."""
    return decoded(data, self._pillow_format)


def decoded(data: bytes, pillow_format: str) -> np.ndarray:
  """A file of a format of Pillow -> [H, W, 3] uint8."""
  with PIL.Image.open(io.BytesIO(data), formats=[pillow_format]) as image:
    return np.asarray(image.convert("RGB"))


def _pillow_heif():
  """The module pillow_heif, after registering its format with Pillow."""
  try:
    import pillow_heif
  except ImportError as error:
    raise ValueError(f"hevc444 needs pillow-heif: {REMEDY}") from error
  pillow_heif.register_heif_opener()
  return pillow_heif
