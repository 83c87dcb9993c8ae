"""A learned density per channel: the prior of z, and of y in the factorized model."""

import math

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config
from bmshj_minnen.entropy.range_coder import table_builder
from bmshj_minnen.format.tables import Tables

__all__ = ["FactorizedDensity"]


class FactorizedDensity(tf.keras.layers.Layer):
  """tensorflow-compression's `NoisyDeepFactorized` (Ballé et al., 2018, appendix 6.1).

  Args:
    channels: number of channels, which have one density each.
    num_filters: channels of the hidden layers.
    has_median: whether values are counted from a median per channel, which is stored, not trained.

  Attributes:
    density: the density of values as they are counted.
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
    self._build_tables = None
    self.median = None
    if has_median:
      self.median = self.add_weight("median", (channels,), initializer="zeros", trainable=False)

  def uncentered(self, z: tf.Tensor) -> tf.Tensor:
    """Values z [..., C], counted from the medians -> the same, counted from 0, [..., C]."""
    return z if self.median is None else z + tf.cast(self.median, z.dtype)

  def bits(self, z: tf.Tensor) -> tf.Tensor:
    """Elementwise information content of z [..., C], in bits: [..., C] float32."""
    bits = -self.density.log_prob(tf.cast(z, tf.float32)) / math.log(2)
    return tfc.upper_bound(bits, -math.log2(config.LIKELIHOOD_BOUND))

  def coding_tables(self) -> Tables:
    """The range coder's tables of the present densities, one per channel."""
    if self._build_tables is None:  # Tracing takes longer than building.
      self._build_tables = table_builder(self.density)
    return self._build_tables()
