"""A learned density a channel: the prior of z, and of y in the factorized model."""

import math

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config

__all__ = ["FactorizedDensity"]


class FactorizedDensity(tf.keras.layers.Layer):
  """tensorflow-compression's `NoisyDeepFactorized` (Ballé et al., 2018, appendix 6.1)."""

  def __init__(self, channels: int, **kwargs):
    super().__init__(dtype=tf.float32, **kwargs)
    self.density = tfc.NoisyDeepFactorized(batch_shape=(channels,))

  def bits(self, z: tf.Tensor) -> tf.Tensor:
    """Elementwise information content of z [..., C] float32, in bits."""
    bits = -self.density.log_prob(tf.cast(z, tf.float32)) / math.log(2)
    return tfc.upper_bound(bits, -math.log2(config.LIKELIHOOD_BOUND))

  def coding_prior(self) -> tfc.NoisyDeepFactorized:
    """The densities, one a channel, that the range coder's tables are made from."""
    return self.density
