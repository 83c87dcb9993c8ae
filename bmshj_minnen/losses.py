"""R + λD (equation 1), and its parts, of a batch."""

from typing import NamedTuple, Union

import tensorflow as tf

from bmshj_minnen import checks, metrics
from bmshj_minnen import config as cfg
from bmshj_minnen.model import Rate

__all__ = ["Losses", "losses", "rate_losses"]


class Losses(NamedTuple):
  """Scalars of one batch; `loss` = `bpp` + λ · `distortion`, weighted if λ differs by image."""

  loss: tf.Tensor
  bpp: tf.Tensor
  y_bpp: tf.Tensor
  z_bpp: tf.Tensor
  distortion: tf.Tensor


def losses(
  x: tf.Tensor,
  x_hat: tf.Tensor,
  rate: Rate,
  lmbda: Union[float, tf.Tensor],
  distortion: str,
  weights: Union[float, tf.Tensor] = 1.0,
) -> Losses:
  """R + λD (equation 1), batch averages.

  Args:
    x, x_hat: [B, H, W, 3] on the 0..255 scale.
    rate: the rate of the batch.
    lmbda: λ, a number for all images or [B].
    distortion: "mse", on the 0..255 scale, or "ms_ssim", for 1 - MS-SSIM.
    weights: weight of the loss of each image, a number for all images or [B].

  Raises:
    ValueError: the distortion is unknown, or the shapes differ.
  """
  checks.choice("distortion", distortion, cfg.DISTORTIONS)
  x = tf.cast(x, tf.float32)
  pixels = tf.shape(x)[1] * tf.shape(x)[2]
  d = metrics.mse(x, x_hat) if distortion == "mse" else 1 - metrics.ms_ssim(x, x_hat)
  d = tf.cast(d, tf.float32)  # 1 - MS-SSIM is float64.
  return _losses(pixels, rate, lmbda * d, d, weights)


def rate_losses(y: tf.Tensor, rate: Rate, weights: Union[float, tf.Tensor] = 1.0) -> Losses:
  """R alone, batch averages, for a prior with fixed transforms; the distortion is 0.

  Args:
    y: [B, h, w, M].
    rate: the rate of the batch.
    weights: weight of the loss of each image, a number for all images or [B].
  """
  pixels = tf.shape(y)[1] * tf.shape(y)[2] * cfg.LATENT_STRIDE**2
  return _losses(pixels, rate, 0.0, 0.0, weights)


def _losses(pixels, rate, weighted_distortion, distortion, weights):
  pixels = tf.cast(pixels, tf.float32)
  y_bpp, z_bpp = rate.y_bits / pixels, rate.z_bits / pixels
  loss = weights * (y_bpp + z_bpp + weighted_distortion)
  return Losses(*map(tf.reduce_mean, (loss, y_bpp + z_bpp, y_bpp, z_bpp, distortion)))
