"""p(ŷ | weights, means, scales): a mixture of densities of one family.

Source: Z. Cheng et al., "Learned image compression with discretized Gaussian mixture likelihoods
and attention modules", CVPR 2020.
"""

import math
from typing import Union

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen import config
from bmshj_minnen.entropy.conditional import Conditional
from bmshj_minnen.entropy.gaussian_conditional import GaussianConditional

__all__ = ["Mixture", "conditional_of"]


class Mixture:
  """Π Σ_k weight_k (p(mean_k, scale_k) * U(-½, ½))(ŷ); ŷ are whole numbers.

  Args:
    model_config: settings of the model: its density, and its components, K.

  Attributes:
    component: the density of one component.
    scales: the [64] float64 scales.

  Raises:
    ValueError: the density is unknown, or its tails are too heavy.
  """

  def __init__(self, model_config: config.ModelConfig):
    self._components = model_config.components
    self.component = Conditional(model_config)
    self.scales = self.component.scales

  def parameters(self, outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Outputs [..., 3 K M] float32 -> logits of weights, means, scales, each [..., K, M] float32.

    Outputs are K times M logits, then as many means and raw scales.
    """
    channels = outputs.shape[-1] // (3 * self._components)
    shape = tf.concat([tf.shape(outputs)[:-1], [3 * self._components, channels]], 0)
    logits, means, raw = tf.split(tf.reshape(outputs, shape), 3, axis=-2)
    return logits, means, self.component.scale_of_output(raw)

  def bits(
    self, y_hat: tf.Tensor, logits: tf.Tensor, means: tf.Tensor, scales: tf.Tensor
  ) -> tf.Tensor:
    """Elementwise information content [..., M] float32, at most -log2(LIKELIHOOD_BOUND) bits."""
    parts = self.component.likelihood(y_hat[..., None, :], means, scales)
    likelihood = tf.reduce_sum(tf.nn.softmax(logits, -2) * parts, -2)
    return -tf.math.log(tfc.lower_bound(likelihood, config.LIKELIHOOD_BOUND)) / math.log(2)


def conditional_of(model_config: config.ModelConfig) -> Union[Conditional, Mixture]:
  """The conditional density of a model."""
  if model_config.components > 1:
    return Mixture(model_config)
  if model_config.density == config.PAPERS_DENSITY:
    return GaussianConditional(model_config)
  return Conditional(model_config)
