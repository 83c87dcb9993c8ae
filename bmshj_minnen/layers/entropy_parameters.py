"""g_ep: 1x1 convolutions from (psi, phi) to the parameters of the latents (section 2)."""

from typing import Callable, Optional

import tensorflow as tf

__all__ = ["EntropyParameters"]


class EntropyParameters(tf.keras.layers.Layer):
  """4M -> 10M/3 -> 8M/3 -> 2M channels (table 1: 768, 640, 512, 384 at M = 192).

  Args:
    latent_channels: M.
    activation: the activation behind the first two layers.
    output_channels: M for scales alone; None: 2M, for means and scales.

  Attributes:
    layers: the three `Dense` layers, which are 1x1 convolutions.
  """

  def __init__(
    self,
    latent_channels: int,
    activation: Callable,
    output_channels: Optional[int] = None,
    **kwargs,
  ):
    super().__init__(**kwargs)
    self.layers = [
      tf.keras.layers.Dense(latent_channels * 10 // 3, activation=activation),
      tf.keras.layers.Dense(latent_channels * 8 // 3, activation=activation),
      # Means need more digits than bfloat16 has.
      tf.keras.layers.Dense(output_channels or 2 * latent_channels, dtype="float32"),
    ]

  def call(self, features: tf.Tensor) -> tf.Tensor:
    """[B, h, w, 2M or 4M] -> [B, h, w, output_channels] float32: means, if any, then raw scales."""
    for layer in self.layers:
      features = layer(features)
    return features
