"""PSNR and MS-SSIM, as losses in training and on 8-bit images when reporting."""

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
# `tf.image.ssim_multiscale` has NaN gradients where a factor is negative, as it is in untrained
# models; here factors are bounded from below, with a gradient.
_MIN_FACTOR = 1e-6


def mse(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """Mean squared error an image: two [B, H, W, 3] on the 0..255 scale -> [B]."""
  return tf.reduce_mean(tf.math.squared_difference(x, x_hat), axis=(1, 2, 3))


def ms_ssim_db(ms_ssim: float) -> float:
  """-10 log10(1 - MS-SSIM), which tells good images apart; inf if they are equal."""
  return -10 * math.log10(1 - ms_ssim) if ms_ssim < 1 else ms_ssim * math.inf  # NaN stays NaN.


def ms_ssim(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """Multiscale structural similarity (Wang et al., 2003): two [..., H, W, 3] in 0..255 -> [...].

  A side that is not known while a graph is traced must be long enough.

  Returns:
    Values in 0..1; NaN if a side is shorter than `config.MS_SSIM_MIN_SIZE` (176 pixels), where
    the coarsest of the five scales does not exist.
  """
  x, x_hat = tf.cast(x, tf.float32), tf.cast(x_hat, tf.float32)
  if any(side is not None and side < config.MS_SSIM_MIN_SIZE for side in x.shape[-3:-1]):
    return tf.fill(tf.shape(x)[:-3], np.float32(np.nan))
  *batch, height, width, _ = tf.unstack(tf.shape(x))
  x, x_hat = (tf.reshape(v, tf.stack([-1, height, width, 3])) for v in (x, x_hat))
  product = 1.0
  for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
    if scale:
      x, x_hat = (tf.nn.avg_pool2d(_even(v), 2, 2, "VALID") for v in (x, x_hat))
    luminance, contrast = _ssim(x, x_hat)
    factor = contrast * luminance if scale == len(_MS_SSIM_WEIGHTS) - 1 else contrast
    product *= tf.pow(_positive(tf.reduce_mean(factor, (1, 2))), weight)
  return tf.reshape(tf.reduce_mean(product, -1), batch)


def _ssim(x, x_hat):
  """The two factors of SSIM, [B, h, w, 3] each."""
  window = tf.constant(np.repeat(_WINDOW[:, :, None, None], 3, 2), tf.float32)

  def local_mean(v):
    return tf.nn.depthwise_conv2d(v, window, [1, 1, 1, 1], "VALID")

  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
  mean, mean_hat = local_mean(x), local_mean(x_hat)
  covariance = local_mean(x * x_hat) - mean * mean_hat
  squares = mean**2 + mean_hat**2
  variances = local_mean(x**2 + x_hat**2) - squares
  luminance = (2 * mean * mean_hat + c1) / (squares + c1)
  return luminance, (2 * covariance + c2) / (variances + c2)


def _even(x):
  """Repeats the last row and column where their number is odd, as tf.image does."""
  _, height, width, _ = tf.unstack(tf.shape(x))
  return tf.pad(x, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]], "SYMMETRIC")


@tf.custom_gradient
def _positive(x):
  """At least _MIN_FACTOR, with gradients that lead back there."""

  def gradient(upstream):
    return tf.where((x > _MIN_FACTOR) | (upstream < 0), upstream, 0.0)

  return tf.maximum(x, _MIN_FACTOR), gradient
