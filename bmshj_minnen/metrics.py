"""MSE, PSNR and MS-SSIM, as losses in training and for reports on 8-bit images."""

import math

import numpy as np
import tensorflow as tf

from bmshj_minnen import config
from bmshj_minnen.psnr import psnr

__all__ = ["ms_ssim", "ms_ssim_db", "mse", "psnr"]

# Wang et al. (2003): exponents from the finest scale to the coarsest, an 11x11 Gaussian window.
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_WINDOW = np.outer(_WINDOW, _WINDOW) / _WINDOW.sum() ** 2
# `tf.image.ssim_multiscale` has NaN gradients if a factor is negative, as in untrained models. Here
# factors are bounded from below, with a gradient.
_MIN_FACTOR = 1e-6


def mse(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """Mean squared error per image: two [B, H, W, 3] float on the 0..255 scale -> [B] float.

  Raises:
    ValueError: the shapes differ.
  """
  _check_shapes(x, x_hat)
  return tf.reduce_mean(tf.math.squared_difference(x, x_hat), axis=(1, 2, 3))


def ms_ssim_db(ms_ssim: float) -> float:
  """-10 log10(1 - MS-SSIM), in which good images differ more; inf if the images are equal."""
  return -10 * math.log10(1 - ms_ssim) if ms_ssim < 1 else ms_ssim * math.inf  # NaN stays NaN.


def ms_ssim(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """Multiscale structural similarity (Wang et al., 2003).

  Args:
    x, x_hat: [..., H, W, 3] of any dtype, in 0..255. Sides that are unknown while a graph is traced
      must be long enough.

  Returns:
    [...] float64 in 0..1; NaN if a side is shorter than `config.MS_SSIM_MIN_SIZE`: such an image
    lacks the coarsest of the five scales.

  Raises:
    ValueError: the shapes differ; or, outside of graphs, an image has floats that are all within
      0..1.
  """
  x, x_hat = tf.convert_to_tensor(x), tf.convert_to_tensor(x_hat)
  _check_shapes(x, x_hat)
  _check_range(x)
  _check_range(x_hat)
  if any(side is not None and side < config.MS_SSIM_MIN_SIZE for side in x.shape[-3:-1]):
    return tf.fill(tf.shape(x)[:-3], np.float64(np.nan))
  *batch, height, width, _ = tf.unstack(tf.shape(x))
  x, x_hat = (
    tf.reshape(tf.cast(v, tf.float32), tf.stack([-1, height, width, 3])) for v in (x, x_hat)
  )
  difference = x_hat - x
  product = 1.0
  for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
    if scale:
      x, difference = (tf.nn.avg_pool2d(_even(v), 2, 2, "VALID") for v in (x, difference))
    is_coarsest = scale == len(_MS_SSIM_WEIGHTS) - 1
    missing = _mean(_missing(x, difference, with_luminance=is_coarsest))
    product *= tf.pow(_positive(1 - missing), weight)
  return tf.reshape(tf.reduce_mean(product, -1), batch)


def _check_shapes(x, x_hat):
  if not tf.TensorShape(x.shape).is_compatible_with(x_hat.shape):
    raise ValueError(f"images of one shape are compared, not {x.shape} and {x_hat.shape}")


def _check_range(x):
  if not tf.executing_eagerly() or not x.dtype.is_floating:
    return
  low, high = float(tf.reduce_min(x)), float(tf.reduce_max(x))
  if 0 <= low and 0 < high <= 1:  # Untrained models make some values below 0.
    raise ValueError("MS-SSIM needs pixels in 0..255, and these are all within 0..1")


def _mean(values):
  """Means over pixels: [B, h, w, C] float32 -> [B, C] float64.

  On CPUs these sums grow value by value, and from 2^24 on float32 loses values below 1.
  """
  return tf.reduce_mean(tf.cast(values, tf.float64), (1, 2))


def _missing(x, difference, with_luminance):
  """One minus SSIM's contrast, or one minus its product with luminance: [B, h, w, 3].

  With 2ab = a² + b² - (a - b)² the small result comes from differences, not from numbers near 1.

  Args:
    x, difference: [B, H, W, 3] float32, x and x̂ - x.
    with_luminance: whether to multiply.
  """
  window = tf.constant(np.repeat(_WINDOW[:, :, None, None], 3, 2), tf.float32)

  def local_mean(v):
    return tf.nn.depthwise_conv2d(v, window, [1, 1, 1, 1], "VALID")

  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
  x_hat = x + difference
  mean, mean_difference = local_mean(x), local_mean(difference)
  squares = mean**2 + (mean + mean_difference) ** 2
  variances = local_mean(x**2 + x_hat**2) - squares
  contrast = (local_mean(difference**2) - mean_difference**2) / (variances + c2)
  if not with_luminance:
    return contrast
  luminance = mean_difference**2 / (squares + c1)
  return contrast + luminance - contrast * luminance


def _even(x):
  """Repeats the last row or column if their number is odd, as tf.image does."""
  _, height, width, _ = tf.unstack(tf.shape(x))
  return tf.pad(x, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]], "SYMMETRIC")


@tf.custom_gradient
def _positive(x):
  """Bounds x by _MIN_FACTOR from below; gradients that lead back above the bound pass."""

  def gradient(upstream):
    return tf.where((x > _MIN_FACTOR) | (upstream < 0), upstream, 0.0)

  return tf.maximum(x, _MIN_FACTOR), gradient
