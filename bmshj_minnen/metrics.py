"""PSNR and MS-SSIM, as losses in training and on 8-bit images when reporting."""

import numpy as np
import tensorflow as tf

from bmshj_minnen import config

__all__ = ["ms_ssim", "mse", "psnr"]


def mse(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """Mean squared error an image: two [B, H, W, 3] on the 0..255 scale -> [B]."""
  return tf.reduce_mean(tf.math.squared_difference(x, x_hat), axis=(1, 2, 3))


def psnr(x: np.ndarray, x_hat: np.ndarray) -> float:
  """Peak signal to noise ratio of two uint8 images of one shape, dB; inf if they are equal."""
  error = np.mean(np.square(x.astype(np.float64) - x_hat.astype(np.float64)))
  return float(10 * np.log10(255**2 / error)) if error else float("inf")


def ms_ssim(x: tf.Tensor, x_hat: tf.Tensor) -> tf.Tensor:
  """Multiscale structural similarity (Wang et al., 2003): two [..., H, W, 3] in 0..255 -> [...].

  Returns:
    Values in 0..1; NaN if a side is shorter than `config.MS_SSIM_MIN_SIZE` (176 pixels), where
    the coarsest of the five scales does not exist.
  """
  x, x_hat = tf.cast(x, tf.float32), tf.cast(x_hat, tf.float32)
  if min(x.shape[-3], x.shape[-2]) < config.MS_SSIM_MIN_SIZE:
    return tf.fill(x.shape[:-3], np.float32(np.nan))
  return tf.image.ssim_multiscale(x, x_hat, max_val=255.0)
