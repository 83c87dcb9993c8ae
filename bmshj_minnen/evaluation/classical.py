"""Classical codecs, set for the best PSNR, with the interface of the learned codec.

    name            encoder                                       quality
    jpeg420         libjpeg-turbo, optimized Huffman codes        1..100, higher is better
    jpeg444         the same without chroma subsampling           1..100, higher is better
    jpeg2000        OpenJPEG, 9/7 wavelet, bare code stream       compression ratio, 24 / bpp
    jpeg2000_psnr   the same, equal PSNR of every image           about its PSNR in dB
    webp            libwebp, slowest method                       0..100, higher is better
    avif            libaom intra 4:4:4, speed 4, tuned for PSNR   0..100, higher is better
    hevc444         x265 intra 4:4:4, 8 bit, preset veryslow      QP 0..51, lower is better

The two variants of JPEG 2000 have the same curve for one image, but very different curves for
averages: only jpeg2000 spends as many bits on an easy image as on a hard one. BPG is x265 intra in
a smaller container; hevc444 takes its place if no BPG encoder is available. No codec writes
metadata: an ICC profile alone can be a tenth of a small file.

JPEG keeps the quantization tables of its standard (annex K), as in published curves; flat tables,
which suit PSNR better, save 10 to 22 % (findings/jpeg_flat_tables_psnr.sh). x265 codes a still
image at 3 QP below the given one, so QP 32 here is QP 29 in its stream.
"""

import dataclasses
import functools
import io
from typing import Any, Callable, Protocol

import numpy as np
import PIL.features
import PIL.Image

__all__ = ["FORMATS", "REMEDY", "MeasuredCodec", "Format", "PillowCodec", "nearest_in_size"]

# Installs missing packages.
REMEDY = "pip install 'bmshj_minnen[evaluation]'"


class MeasuredCodec(Protocol):
  """Interface of codecs that can be evaluated, such as `bmshj_minnen.Codec`."""

  def compress(self, image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 -> the bytes of a file."""

  def decompress(self, data: bytes) -> np.ndarray:
    """The bytes of a file -> [H, W, 3] uint8."""


@dataclasses.dataclass(frozen=True)
class Format:
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


_JPEG_QUALITIES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)

FORMATS = {
  "jpeg420": Format("JPEG", ".jpg", "libjpeg_turbo", (1, 100), _JPEG_QUALITIES, _jpeg("4:2:0")),
  "jpeg444": Format("JPEG", ".jpg", "libjpeg_turbo", (1, 100), _JPEG_QUALITIES, _jpeg("4:4:4")),
  "jpeg2000": Format(
    "JPEG2000",
    ".j2k",
    "jpg_2000",
    (1, 1000),
    (240, 160, 120, 80, 60, 48, 40, 30, 24, 16, 12, 8),
    _jpeg2000("rates"),
  ),
  "jpeg2000_psnr": Format(
    "JPEG2000",
    ".j2k",
    "jpg_2000",
    (10, 50),
    (22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44),
    _jpeg2000("dB"),
  ),
  "webp": Format(
    "WEBP",
    ".webp",
    "webp",
    (0, 100),
    (0, 5, 10, 20, 30, 45, 60, 75, 85, 92, 97),
    lambda quality: {"quality": quality, "method": 6},
  ),
  "avif": Format("AVIF", ".avif", "avif", (0, 100), (5, 12, 20, 30, 40, 50, 60, 70, 80, 90), _avif),
  "hevc444": Format(
    "HEIF", ".heic", "x265", (0, 51), (48, 45, 42, 39, 36, 33, 30, 27, 24, 20, 16), _hevc
  ),
}


class PillowCodec:
  """One of `FORMATS` at one quality.

  Args:
    name: a name in `FORMATS`.
    quality: quality of the format, within its limits.

  Raises:
    ValueError: the name is unknown, the quality out of range, or the encoder not installed.
  """

  def __init__(self, name: str, quality: int):
    if name not in FORMATS:
      raise ValueError(f"unknown codec {name!r}: choose from {', '.join(FORMATS)}")
    self._format = FORMATS[name]
    low, high = self._format.limits
    if not low <= quality <= high:
      raise ValueError(f"the quality of {name} must be in {low}..{high}, not {quality}")
    self._format.version()
    self._options = self._format.options(quality)

  def compress(self, image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 -> the bytes of a file.

    Raises:
      OSError, ValueError: the format does not support images of this size.
    """
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, self._format.pillow_format, **self._options)
    return buffer.getvalue()

  def decompress(self, data: bytes) -> np.ndarray:
    """A file from `compress` -> [H, W, 3] uint8."""
    with PIL.Image.open(io.BytesIO(data), formats=[self._format.pillow_format]) as image:
      return np.asarray(image.convert("RGB"))


def nearest_in_size(name: str, image: np.ndarray, num_bytes: int) -> tuple[int, bytes]:
  """The quality at which a classical codec compresses an image nearest to a number of bytes.

  Searches by bisection, because the size is monotonic in the quality.

  Args:
    name: a name in `FORMATS`.
    image: [H, W, 3] uint8.
    num_bytes: the wanted size.

  Returns:
    The quality, and the file.

  Raises:
    ValueError: the name is unknown, or the encoder is not installed.
  """

  @functools.cache
  def compress(quality):
    return PillowCodec(name, quality).compress(image)

  low, high = FORMATS[name].limits
  grows = len(compress(high)) > len(compress(low))
  while high - low > 1:
    middle = (low + high) // 2
    if (len(compress(middle)) < num_bytes) == grows:
      low = middle
    else:
      high = middle
  quality = min(low, high, key=lambda quality: abs(len(compress(quality)) - num_bytes))
  return quality, compress(quality)


def _pillow_heif():
  """The module pillow_heif, after registering its format with Pillow."""
  try:
    import pillow_heif
  except ImportError as error:
    raise ValueError(f"hevc444 needs pillow-heif: {REMEDY}") from error
  pillow_heif.register_heif_opener()
  return pillow_heif
