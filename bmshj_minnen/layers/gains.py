"""Gains: one model for many rates.

Each channel of the latents is multiplied by a gain before rounding, and by an inverse gain before
g_s. Both depend on λ: some values of λ have learned vectors, and between two of them logarithms are
interpolated over log λ (Z. Cui et al., "Asymmetric gained deep image compression with continuous
rate adaptation", CVPR 2021, section 3).
"""

import math

import numpy as np
import tensorflow as tf

__all__ = ["Gains"]

# The gains of an untrained model are (λ / reference)^0.4. A distortion in proportion to 1 / λ would
# need an exponent of 0.5, but at high rates less is left to gain.
_EXPONENT = 0.4


class Gains(tf.keras.layers.Layer):
  """Gains and inverse gains of M channels, as functions of λ.

  Args:
    channels: M.
    lambdas: at least two, increasing; a λ beyond the ends has the vectors of the nearest end.

  All gains are 1 until `reset` is called or they are trained.

  Attributes:
    log_gain, log_inverse: [L, M] float32, natural logarithms at the `lambdas`.
  """

  def __init__(self, channels: int, lambdas: tuple[float, ...], **kwargs):
    super().__init__(dtype=tf.float32, **kwargs)
    self._log_lambdas = np.log(lambdas).astype(np.float32)
    shape = (len(lambdas), channels)
    self.log_gain = self.add_weight("log_gain", shape, initializer="zeros")
    self.log_inverse = self.add_weight("log_inverse", shape, initializer="zeros")

  def reset(self, lmbda: float) -> None:
    """Resets the gains to 1 at this λ and a power of λ elsewhere, and inverse gains accordingly."""
    log_gain = _EXPONENT * (self._log_lambdas - math.log(lmbda))
    log_gain = np.broadcast_to(log_gain[:, None], self.log_gain.shape)
    self.log_gain.assign(log_gain)
    self.log_inverse.assign(-log_gain)

  def gain(self, lmbda: tf.Tensor) -> tf.Tensor:
    """Gain of y: λ [B] float32 -> [B, 1, 1, M] float32, positive."""
    return self._interpolated(self.log_gain, lmbda)

  def inverse(self, lmbda: tf.Tensor) -> tf.Tensor:
    """Inverse gain of ŷ before g_s: λ [B] float32 -> [B, 1, 1, M] float32, positive."""
    return self._interpolated(self.log_inverse, lmbda)

  def _interpolated(self, table, lmbda):
    knots = self._log_lambdas
    position = tf.clip_by_value(tf.math.log(lmbda), knots[0], knots[-1])
    # OpenVINO and LiteRT have no `tf.searchsorted`.
    below = tf.reduce_sum(tf.cast(knots <= position[:, None], tf.int32), 1) - 1
    below = tf.clip_by_value(below, 0, len(knots) - 2)
    low, high = tf.gather(knots, below), tf.gather(knots, below + 1)
    fraction = ((position - low) / (high - low))[:, None]
    logs = (1 - fraction) * tf.gather(table, below) + fraction * tf.gather(table, below + 1)
    return tf.exp(logs)[:, None, None]
