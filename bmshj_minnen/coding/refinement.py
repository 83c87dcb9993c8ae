"""Smaller files for more time: gradient descent on the latents of one image.

g_a is one function for all images, so its y is not the best y of a given image. A few steps on
R + λD, with y in place of the weights, find a better y (J. Campos et al., "Content adaptive
optimization for neural image compression", CVPR workshops 2019). They begin with noise, as in
training, and end with rounding, so that the latents of the file improve (Y. Yang et al., "Improving
inference for neural image compression", NeurIPS 2020). ẑ is computed from y in each step, as for
the final y; gradients pass its rounding. The file format and decoding do not change.

With few steps, noise turns into rounding step by step, and gradients pass both. Many steps sample
one of the two symbols next to y, ever more often the nearer one, with gradients of a Gumbel-softmax
(Yang et al., section 3.2): that is slower at first and ends lower.

Means are computed in a few passes over all positions. With a single pass, many steps would find
latents that are better for that pass but worse in files, where each mean depends on the latents
coded before.
"""

from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.layers import quantizers
from bmshj_minnen.losses import losses
from bmshj_minnen.model import Model
from bmshj_minnen.runtime.graph import Graph

__all__ = ["Refiner"]

# Settings of Adam, chosen on held-out images for some tens of steps. The learning rate starts a
# cosine, and is in units of the distance between symbols.
_LEARNING_RATE = 0.03
_BETAS = {"beta_1": 0.8, "beta_2": 0.99}
_FEW_STEPS = 40  # At this number both methods are about equally good, on held-out images.
_TEMPERATURES = (0.5, 0.05)  # Temperature of samples, at the start (as in Yang et al.) and the end.
_CERTAIN = 1e-4  # The least distance to a symbol: atanh(1) is infinite.
_ROUNDING = quantizers.rounding_in_passes(3)  # In a step.
_LAST_ROUNDING = quantizers.rounding_in_passes(8)  # When last and first latents are compared.


class Refiner:
  """Moves y towards less R + λD; may be called by several threads.

  Args:
    model: a trained model.
    lmbda: λ, as in training; None for a model for many rates: the λ of the quality.
    distortion: D, one of `config.DISTORTIONS`.
    steps: number of steps of gradient descent, each on the whole image or tile.
  """

  def __init__(self, model: Model, lmbda: Optional[float], distortion: str, steps: int):
    self._model, self._lmbda, self._distortion = model, lmbda, distortion
    self._steps = steps
    config = model.config
    self._gradient = Graph(
      self._gradient_of,
      tf.TensorSpec([1, None, None, 3], tf.uint8),
      tf.TensorSpec([1, None, None, config.latent_channels], tf.float32),
      tf.TensorSpec([], tf.int32),
      tf.TensorSpec([2], tf.float32),
    )
    self._cost = Graph(
      self._cost_of,
      tf.TensorSpec([1, None, None, 3], tf.uint8),
      tf.TensorSpec([1, None, None, config.latent_channels], tf.float32),
      tf.TensorSpec([2], tf.float32),
    )

  def __call__(
    self,
    image: np.ndarray,
    y: np.ndarray,
    lmbda: Optional[float] = None,
    on_step: Callable[[], None] = lambda: None,
  ) -> np.ndarray:
    """Better latents, the same at every call.

    Args:
      image: [H, W, 3] uint8.
      y: [ceil(H/16), ceil(W/16), M] float32, the start.
      lmbda: for a model for many rates, the λ of the quality whose gains y has.
      on_step: called before each step; may raise to end the work.

    Returns:
      [ceil(H/16), ceil(W/16), M] float32: a better y, or y itself if none was found, or if D is
      MS-SSIM and the image is too small for it.
    """
    if self._distortion == "ms_ssim" and min(image.shape[:2]) < cfg.MS_SSIM_MIN_SIZE:
      return y
    variable = tf.Variable(y[None])
    rate = tf.keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, self._steps)
    optimizer = tf.keras.optimizers.Adam(rate, **_BETAS)
    # The λ of the gains, and the λ of R + λD.
    lambdas = np.float32([lmbda or 0, self._lmbda or lmbda])
    for step in range(self._steps):
      on_step()
      gradient = self._gradient(image[None], variable, step, lambdas)
      optimizer.apply_gradients([(gradient, variable)])
    refined = variable.numpy()
    costs = [float(self._cost(image[None], latents, lambdas)) for latents in (y[None], refined)]
    return refined[0] if costs[1] < costs[0] else y

  def _gradient_of(self, x, y, step, lambdas):
    relaxed = _mixed if self._steps <= _FEW_STEPS else _sampled
    quantize_y = relaxed(tf.stack([0, step]), tf.cast(step, tf.float32) / self._steps)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
      tape.watch(y)
      loss = self._loss(x, y, lambdas, quantize_y)
    return tape.gradient(loss, y)

  def _cost_of(self, x, y, lambdas):
    return self._loss(x, y, lambdas, _LAST_ROUNDING)

  def _loss(self, x, y, lambdas, quantize_y):
    quantize_z = quantizers.straight_through(quantizers.rounding)
    x_hat, rate = self._model.forward(y, lambdas[:1], quantize_y, quantize_z)
    # Leave the padding beyond the image out of the distortion.
    x_hat = x_hat[:, : tf.shape(x)[1], : tf.shape(x)[2]]
    return losses(x, x_hat, rate, lambdas[1], self._distortion).loss


def _mixed(seed, done):
  """A quantizer that turns from y with noise to ŷ as `done` grows from 0 to 1; passes gradients."""

  def quantize(y, mean_of=None):
    y_hat = _ROUNDING(y, mean_of)
    noise = tf.random.stateless_uniform(tf.shape(y), seed, -0.5, 0.5)
    return y + tf.stop_gradient((1 - done) * noise + done * (y_hat - y))

  return quantize


def _sampled(seed, done):
  """A quantizer that samples near the symbol below or above y, one of which is ŷ."""
  start, end = _TEMPERATURES
  temperature = start * (end / start) ** done

  def quantize(y, mean_of=None):
    y_hat = tf.stop_gradient(_ROUNDING(y, mean_of))
    below = y_hat + tf.stop_gradient(tf.floor(y - y_hat))
    above = tf.clip_by_value(y - below, _CERTAIN, 1 - _CERTAIN)  # The distance, 0 to 1.
    preference = (tf.atanh(above) - tf.atanh(1 - above)) / temperature
    uniform = tf.random.stateless_uniform(tf.shape(y), seed, _CERTAIN, 1 - _CERTAIN)
    logistic = tf.math.log(uniform) - tf.math.log1p(-uniform)  # A difference of two Gumbels.
    return below + tf.sigmoid((preference + logistic) / temperature)

  return quantize
