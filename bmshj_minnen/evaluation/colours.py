"""RGB to YCbCr of BT.709, full range, 10 bits, and back, for codecs that take planes.

The equations are those of ITU-T H.273 for MatrixCoefficients 1 and VideoFullRangeFlag 1. In 4:4:4,
RGB of 8 bits comes back exactly: rounding to 10 bits moves a colour by at most 0.36 levels.

In 4:2:0, a sample of chroma lies in the centre of four pixels. Their mean is sent, corrected until
the picture that comes back is the nearest one, and cubic interpolation (Keys 1981, a = -1/2) makes
the four of it again.
"""

import numpy as np

__all__ = ["TOP", "from_planes", "to_planes"]

TOP = 1023  # The largest value of a sample.
_MIDDLE = 512
_KR, _KB = 0.2126, 0.0722
_TO_YCBCR = np.array(
  [
    [_KR, 1 - _KR - _KB, _KB],
    [-_KR / (2 * (1 - _KB)), (_KR + _KB - 1) / (2 * (1 - _KB)), 0.5],
    [0.5, (_KR + _KB - 1) / (2 * (1 - _KR)), -_KB / (2 * (1 - _KR))],
  ]
)
_TO_RGB = np.linalg.inv(_TO_YCBCR)
# Weights of five neighbours, a quarter of their distance before the middle one.
_CUBIC = (-3 / 128, 29 / 128, 111 / 128, -9 / 128, 0.0)
_STEPS = 10  # Steps of the correction; more change nothing that can be seen in a file.


def to_planes(image: np.ndarray, subsampled: bool) -> list[np.ndarray]:
  """Y, Cb and Cr of an image.

  Args:
    image: [H, W, 3] uint8.
    subsampled: whether Cb and Cr have half the height and half the width; both must be even then.

  Returns:
    Three planes uint16 in 0..1023, [H, W], or for chroma of 4:2:0 [H / 2, W / 2].

  Raises:
    ValueError: the size is odd, and `subsampled` is true.
  """
  height, width, _ = image.shape
  if subsampled and (height % 2 or width % 2):
    raise ValueError(f"4:2:0 needs an even height and width, and the image has {height}x{width}")
  planes = np.moveaxis(image @ _TO_YCBCR.T * (TOP / 255), -1, 0)
  luma, chroma = planes[:1], planes[1:]
  if subsampled:
    chroma = [_halved(plane) for plane in chroma]
  return [_rounded(plane) for plane in luma] + [_rounded(plane + _MIDDLE) for plane in chroma]


def from_planes(planes: list[np.ndarray]) -> np.ndarray:
  """The image, [H, W, 3] uint8, of planes as `to_planes` returns them."""
  luma, *chroma = (plane.astype(np.float64) for plane in planes)
  chroma = [plane - _MIDDLE for plane in chroma]
  if chroma[0].shape != luma.shape:
    chroma = [_doubled(plane) for plane in chroma]
  rgb = np.stack([luma, *chroma], -1) @ _TO_RGB.T * (255 / TOP)
  return np.uint8(np.clip(np.rint(rgb), 0, 255))


def _rounded(plane):
  return np.uint16(np.clip(np.rint(plane), 0, TOP))


def _mean(plane):
  height, width = plane.shape
  return plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def _halved(plane):
  """The plane of half the height and width whose `_doubled` has the same means as `plane`."""
  means = _mean(plane)
  half = means
  for _ in range(_STEPS):
    half = half + means - _mean(_doubled(half))
  return half


def _doubled(plane):
  return _doubled_rows(_doubled_rows(plane).T).T


def _doubled_rows(plane):
  count = len(plane)
  padded = np.pad(plane, [(2, 2), (0, 0)], "edge")
  neighbours = [padded[first : first + count] for first in range(5)]
  before = sum(weight * rows for weight, rows in zip(_CUBIC, neighbours))
  after = sum(weight * rows for weight, rows in zip(_CUBIC[::-1], neighbours))
  return np.stack([before, after], 1).reshape(2 * count, -1)
