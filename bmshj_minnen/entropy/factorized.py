"""A learned density a channel: the prior of z, and of y in the factorized model."""

import math

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config

__all__ = ["FactorizedDensity"]


class FactorizedDensity(tf.keras.layers.Layer):
  """tensorflow-compression's `NoisyDeepFactorized` (Ballé et al., 2018, appendix 6.1).

  Args:
    channels: one density each.
    num_filters: channels of the hidden layers.
    has_median: whether values are counted from a median a channel; it is kept, but not trained.

  Attributes:
    density: of the values as they are counted.
    median: [channels] float32, or None.
  """

  def __init__(
    self,
    channels: int,
    num_filters: tuple[int, ...] = config.DENSITY_FILTERS,
    has_median: bool = False,
    **kwargs,
  ):
    super().__init__(dtype=tf.float32, **kwargs)
    self.density = tfc.NoisyDeepFactorized(batch_shape=(channels,), num_filters=num_filters)
    self.median = None
    if has_median:
      self.median = self.add_weight("median", (channels,), initializer="zeros", trainable=False)

  def uncentered(self, z: tf.Tensor) -> tf.Tensor:
    """The values z [..., C] that are counted from the medians, counted from 0."""
    return z if self.median is None else z + tf.cast(self.median, z.dtype)

  def bits(self, z: tf.Tensor) -> tf.Tensor:
    """Elementwise information content of z [..., C] float32, in bits."""
    bits = -self.density.log_prob(tf.cast(z, tf.float32)) / math.log(2)
    return tfc.upper_bound(bits, -math.log2(config.LIKELIHOOD_BOUND))

  def coding_prior(self) -> tfc.NoisyDeepFactorized:
    """The densities, one a channel, that the range coder's tables are made from."""
    return self.density
