"""p(ŷ | mean, scale): a Gaussian convolved with a unit box (equation 3)."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config

__all__ = ["GaussianConditional", "scale_table"]

_LOG_STEP = math.log(config.SCALE_MAX / config.SCALE_MIN) / (config.NUM_SCALES - 1)


def scale_table() -> np.ndarray:
  """The [64] float64 scales, log-spaced from 0.11 to 256."""
  return config.SCALE_MIN * np.exp(_LOG_STEP * np.arange(config.NUM_SCALES))


class GaussianConditional:
  """Π (N(mean, scale²) * U(-½, ½))(ŷ), with scales from a log-spaced family.

  Args:
    scale_output: the meaning of a network output, one of `config.SCALE_OUTPUTS`.
  """

  def __init__(self, scale_output: str = "index"):
    self._scale_output = scale_output

  def scale_of_output(self, raw: tf.Tensor) -> tf.Tensor:
    """Network outputs [...] float32 -> standard deviations of 0.11 or more, [...] float32.

    Beyond a bound only the gradients that lead back inside pass; the same holds for `scale_index`.
    """
    if self._scale_output == "scale":
      return tfc.lower_bound(raw, config.SCALE_MIN)
    return self.scale(self.scale_index(raw))

  def scale_index(self, raw: tf.Tensor) -> tf.Tensor:
    """Network outputs [...] float32 -> continuous indices in 0..63, [...] float32."""
    index = config.SCALE_INDEX_GAIN * raw + config.SCALE_INDEX_CENTER
    return tfc.upper_bound(tfc.lower_bound(index, 0.0), float(config.NUM_SCALES - 1))

  def scale(self, index: tf.Tensor) -> tf.Tensor:
    """Indices [...] float32, continuous or not -> standard deviations, [...] float32."""
    return config.SCALE_MIN * tf.exp(_LOG_STEP * index)

  def likelihood(self, y_hat: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Φ((½ - |ŷ - mean|) / scale) - Φ((-½ - |ŷ - mean|) / scale), in 0..1, not bounded below.

    All are [...] float32. Both arguments are on the left tail, where float32 differences stay
    accurate.
    """
    distance = tf.abs(y_hat - mean)

    def cdf(x):
      return 0.5 * tf.math.erfc(x * (-(0.5**0.5)))

    return cdf((0.5 - distance) / scale) - cdf((-0.5 - distance) / scale)

  def bits(self, y_hat: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Elementwise information content [...] float32, bits; at most -log2(LIKELIHOOD_BOUND)."""
    likelihood = self.likelihood(y_hat, mean, scale)
    return -tf.math.log(tfc.lower_bound(likelihood, config.LIKELIHOOD_BOUND)) / math.log(2)

  def coding_prior(self) -> tfc.NoisyNormal:
    """The 64 zero-mean densities from which the range coder's tables are made."""
    return tfc.NoisyNormal(loc=tf.zeros([], tf.float64), scale=tf.constant(scale_table()))
