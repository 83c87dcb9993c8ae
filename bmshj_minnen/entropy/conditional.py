"""p(ŷ | mean, scale): a density convolved with a unit box (equation 3, with its Gaussian)."""

import functools
import math
from typing import Optional

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config
from bmshj_minnen.entropy.densities import Family, family_of
from bmshj_minnen.entropy.range_coder import build_tables
from bmshj_minnen.format.tables import Tables

__all__ = ["Conditional", "scale_table"]


def scale_table(min_scale: float = config.SCALE_MIN) -> np.ndarray:
  """The [64] float64 scales, log-spaced from 0.11, or `min_scale`, to 256."""
  return min_scale * np.exp(_log_step(min_scale) * np.arange(config.NUM_SCALES))


def _log_step(min_scale):
  return math.log(config.SCALE_MAX / min_scale) / (config.NUM_SCALES - 1)


class Conditional:
  """Π (p(mean, scale) * U(-½, ½))(ŷ), with scales from a log-spaced table.

  Args:
    model_config: settings of the model: its density, its prior, and the meaning of the networks'
      outputs; None: the paper's.

  Attributes:
    scales: the [64] float64 scales.

  Raises:
    ValueError: the density is unknown, or its tails are too heavy.
  """

  def __init__(self, model_config: Optional[config.ModelConfig] = None):
    self._config = model_config or config.ModelConfig()
    self._family: Family = family_of(self._config)
    self._min_scale = self._family.min_scale
    self.scales = scale_table(self._min_scale)

  def parameters(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Outputs of the networks [..., channels] float32 -> mean and scale, each [..., M] float32."""
    if not self._config.parts.means:
      return tf.zeros_like(outputs), self.scale_of_output(outputs)
    mean, output = tf.split(outputs, 2, axis=-1)
    return mean, self.scale_of_output(output)

  def scale_of_output(self, raw: tf.Tensor) -> tf.Tensor:
    """Network outputs [...] float32 -> scales, [...] float32, at least the smallest one.

    Beyond a bound only the gradients that lead back inside pass; the same holds for `scale_index`.
    """
    if self._config.scale_output == "scale":
      return tfc.lower_bound(raw, self._min_scale)
    return self.scale(self.scale_index(raw))

  def scale_index(self, raw: tf.Tensor) -> tf.Tensor:
    """Network outputs [...] float32 -> continuous indices in 0..63, [...] float32."""
    index = config.SCALE_INDEX_GAIN * raw + config.SCALE_INDEX_CENTER
    return tfc.upper_bound(tfc.lower_bound(index, 0.0), float(config.NUM_SCALES - 1))

  def scale(self, index: tf.Tensor) -> tf.Tensor:
    """Indices [...] float32, continuous or not -> scales, [...] float32."""
    return self._min_scale * tf.exp(_log_step(self._min_scale) * index)

  def likelihood(self, y_hat: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Φ((½ - |ŷ - mean|) / scale) - Φ((-½ - |ŷ - mean|) / scale), in 0..1, not bounded below.

    All are [...] float32; Φ is the cumulative of the family. Both arguments are on the left tail,
    where float32 differences stay accurate.
    """
    distance = tf.abs(y_hat - mean)
    cdf = self._family.cumulative
    return cdf((0.5 - distance) / scale) - cdf((-0.5 - distance) / scale)

  def bits(self, y_hat: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Elementwise information content [...] float32, bits; at most -log2(LIKELIHOOD_BOUND)."""
    likelihood = self.likelihood(y_hat, mean, scale)
    return -tf.math.log(tfc.lower_bound(likelihood, config.LIKELIHOOD_BOUND)) / math.log(2)

  def coding_tables(self) -> Tables:
    """The range coder's tables of the 64 densities of mean 0."""
    return _coding_tables(self._family)


@functools.lru_cache(maxsize=16)
def _coding_tables(family):
  scale = tf.constant(scale_table(family.min_scale))
  density = family.distribution(loc=tf.zeros([], tf.float64), scale=scale)
  return build_tables(tfc.UniformNoiseAdapter(density), in_graph=True)
