"""What the float model would spend if it could be coded: the yardstick for freezing."""

import tensorflow as tf

from bmshj_minnen import Model
from bmshj_minnen.coding import wavefront
from bmshj_minnen.format.geometry import causal_mask

__all__ = ["float_bits"]


class _FloatNetworks:
  """h_s, g_cm and g_ep in floating point, with the interface of the exact `Networks`."""

  num_parts = 1

  def __init__(self, model: Model):
    self._model = model
    self.context_support = model.config.context_support if model.config.parts.context else 0
    if self.context_support:
      kernel = model.g_cm.kernel
      visible = causal_mask(self.context_support, "A").astype(bool)
      self._kernel = tf.reshape(tf.boolean_mask(kernel, visible), [-1, kernel.shape[-1]])

  def psi(self, z_hat, height, width):
    """[h', w', N] -> [height * width, channels]."""
    if self._model.h_s is None:
      return tf.zeros([height * width, 0])
    psi = self._model.hyper_synthesis(z_hat[None], [1, height, width])
    return tf.reshape(psi, [height * width, -1])

  def prepare(self, psi):
    """Nothing."""
    return psi

  def split(self, y_hat):
    """[n, M] -> [1, n, M]."""
    return y_hat[None]

  def parameters(self, psi, neighbours):
    """[n, channels] and [1, n, 12 M] -> mean and scale, [n, M] each."""
    model = self._model
    features = psi
    if self.context_support:
      phi = tf.matmul(neighbours[0], self._kernel) + model.g_cm.bias
      features = model.g_ep(tf.concat([psi, phi], -1))
    if not model.config.parts.means:
      return tf.zeros_like(features), model.conditional.scale_of_output(features)
    mean, output = tf.split(features, 2, -1)
    return mean, model.conditional.scale_of_output(output)


class _Meter:
  """An encoder whose range coder only adds up information content."""

  def __init__(self, model: Model, y):
    self._conditional, self._y = model.conditional, y

  def __call__(self, bits, mean, scale, where):
    y_hat = tf.round(tf.gather(self._y, where) - mean) + mean
    return bits + tf.reduce_sum(self._conditional.bits(y_hat, mean, scale)), y_hat


@tf.function(reduce_retracing=True)
def float_bits(model: Model, y: tf.Tensor, z_hat: tf.Tensor) -> tf.Tensor:
  """Bits of y and ẑ under the float model, coded position by position.

  Args:
    model: any prior but the factorized one, which has no networks.
    y: [h, w, M].
    z_hat: [h', w', N].
  """
  height, width, channels = tf.shape(y)[0], tf.shape(y)[1], y.shape[2]
  networks = _FloatNetworks(model)
  meter = _Meter(model, tf.reshape(y, [-1, channels]))
  psi = networks.psi(z_hat, height, width)
  bits, _ = wavefront.scan_graph(networks, meter, tf.zeros([]), psi, height, width, channels)
  if model.z_density is not None:
    bits += tf.reduce_sum(model.z_density.bits(z_hat))
  return bits
