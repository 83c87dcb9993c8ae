"""A learned density per channel: the prior of z, and of y in the factorized model."""

import math
from typing import Callable

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config
from bmshj_minnen.entropy.range_coder import build_tables
from bmshj_minnen.format.tables import MAX_VALUE, Tables

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
    self.density = _Density(batch_shape=(channels,), num_filters=num_filters)
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
    return build_tables(self.density)


_PARTS, _DIVISIONS = 64, 7  # From ±2^15 to 2^-26, below the spacing of float32 beyond 1.


class _Density(tfc.NoisyDeepFactorized):
  """Finds tails by dividing an interval.

  tensorflow-compression descends by Adam, by at most 0.1 per step: a table of a thousand symbols
  takes ten thousand steps.
  """

  def _lower_tail(self, tail_mass):
    return _root(self.base.log_cdf, math.log(tail_mass / 2), self.batch_shape)

  def _upper_tail(self, tail_mass):
    log_mass_above = self.base.log_survival_function
    return -_root(lambda x: log_mass_above(-x), math.log(tail_mass / 2), self.batch_shape)


def _root(
  function: Callable[[tf.Tensor], tf.Tensor], value: float, shape: tf.TensorShape
) -> tf.Tensor:
  """Where an increasing elementwise function has this value, [shape] float32 in ±2^15."""
  low, width = tf.fill(shape, -float(MAX_VALUE + 1)), 2.0 * (MAX_VALUE + 1)
  edges = tf.reshape(tf.range(1.0, _PARTS), [-1] + [1] * shape.rank)
  for _ in range(_DIVISIONS):
    width /= _PARTS
    # One call for all edges takes less time than the calls of a bisection.
    below = function(low + width * edges) < value
    low += width * tf.reduce_sum(tf.cast(below, tf.float32), 0)
  return low
