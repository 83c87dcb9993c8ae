"""The model as signatures of TensorFlow's own ops: `analysis`, `synthesis`, `reconstruct`."""

import math
from typing import Optional

import tensorflow as tf

from bmshj_minnen import metrics
from bmshj_minnen.model import Model
from bmshj_minnen.pixels import pad_to_latents, to_uint8
from bmshj_minnen.quality import QUALITIES, check_quality, lambda_of
from bmshj_minnen.runtime.graph import traced
from bmshj_minnen.serving.graph_errors import refuse_if

__all__ = ["StockModule"]


class StockModule(tf.Module):
  """Operations of the Keras model with rounding, on batches of images of one size.

  Bits are estimates of the float model, close to the size of files (see `Model.forward_rounded`).
  Images are padded to whole latents by repeating their last row and column, as in files.

  A model for many rates has each signature twice: at the default quality, and as `…_at_quality`
  with the input `quality`, [B] float32 in 1..100. Numbers that are not finite end the call with an
  InvalidArgument status.

  Args:
    model: a built model.
    quality: default quality of a model for many rates; None: `quality.DEFAULT_QUALITY`.

  Raises:
    ValueError: the quality is not valid.
  """

  def __init__(self, model: Model, quality: Optional[float] = None):
    super().__init__()
    self._quality = check_quality(quality, model.config)
    self._weights = model.variables
    # Hidden in a function; otherwise Keras would also trace and save calls for training.
    self._get_model = lambda: model

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Traces all signatures."""
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, "pixels")
    channels = self._get_model().config.latent_channels
    y_hat = tf.TensorSpec([None, None, None, channels], tf.float32, "y_hat")
    inputs = {"analysis": pixels, "synthesis": y_hat, "reconstruct": pixels}
    signatures = {}
    for name, spec in inputs.items():
      function = getattr(self, name)
      signatures[name] = traced(function, [spec]).get_concrete_function()
      if self._get_model().gains is not None:
        quality = tf.TensorSpec([None], tf.float32, "quality")
        at_quality = traced(function, [spec, quality])
        signatures[f"{name}_at_quality"] = at_quality.get_concrete_function()
    return {"serving_default": signatures["reconstruct"], **signatures}

  def analysis(
    self, pixels: tf.Tensor, quality: Optional[tf.Tensor] = None
  ) -> dict[str, tf.Tensor]:
    """[B, H, W, 3] uint8 -> `y` [B, ceil(H/16), ceil(W/16), M] float32 and `bits` [B] float32."""
    x, lmbda = pad_to_latents(pixels), self._lambda(quality, pixels)
    _, rate = self._get_model().forward_rounded(x, lmbda)
    return {"y": self._get_model().analysis(x, lmbda), "bits": rate.y_bits + rate.z_bits}

  def synthesis(
    self, y_hat: tf.Tensor, quality: Optional[tf.Tensor] = None
  ) -> dict[str, tf.Tensor]:
    """ŷ [B, h, w, M] float32 -> `pixels` [B, 16 h, 16 w, 3] uint8."""
    infinite = ~tf.reduce_all(tf.math.is_finite(y_hat))
    y_hat = refuse_if(infinite, ["y_hat must be finite"], y_hat)
    x_hat = self._get_model().synthesis(y_hat, self._lambda(quality, y_hat))
    return {"pixels": to_uint8(x_hat)}

  def reconstruct(
    self, pixels: tf.Tensor, quality: Optional[tf.Tensor] = None
  ) -> dict[str, tf.Tensor]:
    """Reconstructs images [B, H, W, 3] uint8.

    Returns:
      `pixels` [B, H, W, 3] uint8, `bits_per_pixel` [B] float32 and `psnr` [B] float32, in dB.
    """
    height, width = tf.shape(pixels)[1], tf.shape(pixels)[2]
    lmbda = self._lambda(quality, pixels)
    x_hat, rate = self._get_model().forward_rounded(pad_to_latents(pixels), lmbda)
    result = to_uint8(x_hat)[:, :height, :width]
    error = metrics.mse(tf.cast(pixels, tf.float32), tf.cast(result, tf.float32))
    return {
      "pixels": result,
      "bits_per_pixel": (rate.y_bits + rate.z_bits) / tf.cast(height * width, tf.float32),
      "psnr": 10 / math.log(10) * tf.math.log(255**2 / error),
    }

  def _lambda(self, quality, batch):
    """λ of each item, [B] float32; None for a model for one rate."""
    config = self._get_model().config
    if not config.gain_lambdas:
      return None
    if quality is None:
      quality = tf.fill(tf.shape(batch)[:1], self._quality)
    inside = tf.reduce_all((quality >= QUALITIES[0]) & (quality <= QUALITIES[-1]))
    quality = refuse_if(~inside, ["the quality must be 1 to 100"], quality)
    return lambda_of(quality, config)
