"""Classical codecs, set for the best PSNR, with the interface of the learned codec.

    name            encoder                                       quality
    jpeg420         libjpeg-turbo, optimized Huffman codes        1..100, higher is better
    jpeg444         the same without chroma subsampling           1..100, higher is better
    jpeg2000        OpenJPEG, 9/7 wavelet, bare code stream       compression ratio, 24 / bpp
    jpeg2000_psnr   the same, equal PSNR of every image           about its PSNR in dB
    webp            libwebp, slowest method                       0..100, higher is better
    avif            libaom intra 4:4:4, speed 4, tuned for PSNR   0..100, higher is better
    hevc444         x265 intra 4:4:4, 8 bit, preset veryslow      QP 0..51, lower is better
    jpegli420       jpegli, chroma subsampled                     1..100, higher is better
    mozjpeg420      MozJPEG, flat tables, trellis quantization    1..100, higher is better
    mozjpeg444      the same without chroma subsampling           1..100, higher is better
    jpegxl          libjxl                                        distance * 10, lower is better
    av1             libaom intra 4:4:4, 10 bit, slower            CRF 0..63, lower is better
    vvc             VVenC intra 4:2:0, 10 bit                     QP 0..63, lower is better

The first seven come with the extra `evaluation`, the others with the extra `codecs`. No codec
writes metadata: an ICC profile alone can be a tenth of a small file.
"""

import functools

import numpy as np

from bmshj_minnen.evaluation import ffmpeg_codecs, jpeg_encoders, pillow_codecs
from bmshj_minnen.evaluation.formats import REMEDY, Format, MeasuredCodec

__all__ = ["FORMATS", "REMEDY", "MeasuredCodec", "make", "nearest_in_size"]

FORMATS: dict[str, Format] = {
  **pillow_codecs.FORMATS,
  **jpeg_encoders.FORMATS,
  **ffmpeg_codecs.FORMATS,
}


def make(name: str, quality: int) -> MeasuredCodec:
  """A codec at one quality.

  Args:
    name: a name in `FORMATS`.
    quality: quality of the format, within its limits.

  Raises:
    ValueError: the name is unknown, the quality out of range, or the encoder not installed.
  """
  if name not in FORMATS:
    raise ValueError(f"unknown codec {name!r}: choose from {', '.join(FORMATS)}")
  low, high = FORMATS[name].limits
  if not low <= quality <= high:
    raise ValueError(f"the quality of {name} must be in {low}..{high}, not {quality}")
  return FORMATS[name].make(quality)


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
    return make(name, quality).compress(image)

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
