"""The model as signatures of TensorFlow's own ops: `analysis`, `synthesis`, `reconstruct`."""

import math

import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen import metrics
from bmshj_minnen.model import Model

__all__ = ["StockModule"]


class StockModule(tf.Module):
  """What the Keras model computes with rounding, on batches of images of one size.

  Bits are those of the float model, which files come close to (see `Model.rounded`). Images are
  continued to whole latents by their last row and column, as in files.

  Args:
    model: a built model.
  """

  def __init__(self, model: Model):
    super().__init__()
    self._weights = model.variables
    # Behind a function, or Keras would trace and save the calls of training as well.
    self._get_model = lambda: model

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Traces them all."""
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels")
    channels = self._get_model().config.latent_channels
    y_hat = tf.TensorSpec([None, None, None, channels], tf.float32, "y_hat")
    reconstruct = tf.function(self.reconstruct, [pixels]).get_concrete_function()
    return {
      "serving_default": reconstruct,
      "analysis": tf.function(self.analysis, [pixels]).get_concrete_function(),
      "synthesis": tf.function(self.synthesis, [y_hat]).get_concrete_function(),
      "reconstruct": reconstruct,
    }

  def analysis(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """[B, H, W, 3] uint8 -> `y` [B, ceil(H/16), ceil(W/16), M] float32 and `bits` [B] float32."""
    x = _whole_latents(pixels)
    _, rate = self._get_model().rounded(x)
    return {"y": self._get_model().analysis(x), "bits": rate.y_bits + rate.z_bits}

  def synthesis(self, y_hat: tf.Tensor) -> dict[str, tf.Tensor]:
    """ŷ [B, h, w, M] float32 -> `pixels` [B, 16 h, 16 w, 3] uint8."""
    return {"pixels": _levels(self._get_model().synthesis(y_hat))}

  def reconstruct(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """[B, H, W, 3] uint8 -> `pixels` like it, `bits_per_pixel` and `psnr` in dB, [B] float32."""
    height, width = tf.shape(pixels)[1], tf.shape(pixels)[2]
    x_hat, rate = self._get_model().rounded(_whole_latents(pixels))
    result = _levels(x_hat)[:, :height, :width]
    error = metrics.mse(tf.cast(pixels, tf.float32), tf.cast(result, tf.float32))
    return {
      "pixels": result,
      "bits_per_pixel": (rate.y_bits + rate.z_bits) / tf.cast(height * width, tf.float32),
      "psnr": 10 / math.log(10) * tf.math.log(255**2 / error),
    }


def _levels(x_hat):
  return tf.saturate_cast(tf.round(x_hat), tf.uint8)


def _whole_latents(pixels):
  """Repeats the last row and column up to multiples of 16."""
  for axis in (1, 2):
    size = tf.shape(pixels)[axis]
    whole = -(-size // cfg.LATENT_STRIDE) * cfg.LATENT_STRIDE
    pixels = tf.gather(pixels, tf.minimum(tf.range(whole), size - 1), axis=axis)
  return pixels
