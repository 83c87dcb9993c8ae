"""A scale hyperprior (Ballé et al., 2018) as tensorflow-compression's users train it.

A stand-in for that project's example script, which is not in its wheel: same architecture and same
loss, made from the library's layers and entropy models. Only its training step is of use.
"""

import math

import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["ScaleHyperprior"]

_NUM_SCALES, _SCALE_MIN, _SCALE_MAX = 64, 0.11, 256.0


class ScaleHyperprior(tf.keras.Model):
  """`train_step` takes [B, H, W, 3] in 0..255; N = M = `num_filters`."""

  def __init__(self, num_filters: int, lmbda: float):
    super().__init__()
    n = num_filters
    self._lmbda = lmbda
    self._g_a = tf.keras.Sequential(
      [_down(n, 5, 2, tfc.GDN()), _down(n, 5, 2, tfc.GDN()), _down(n, 5, 2, tfc.GDN())]
      + [_down(n, 5, 2)]
    )
    self._g_s = tf.keras.Sequential(
      [_up(n, 5, 2, tfc.GDN(inverse=True)) for _ in range(3)] + [_up(3, 5, 2)]
    )
    relu = tf.nn.relu
    self._h_a = tf.keras.Sequential(
      [_down(n, 3, 1, relu), _down(n, 5, 2, relu), _down(n, 5, 2, use_bias=False)]
    )
    plain = {"kernel_parameter": "variable"}
    self._h_s = tf.keras.Sequential(
      [_up(n, 5, 2, relu, **plain), _up(n, 5, 2, relu, **plain), _up(n, 3, 1, **plain)]
    )
    self._z_prior = tfc.NoisyDeepFactorized(batch_shape=(n,))

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """The loss of a batch."""
    y_model = tfc.LocationScaleIndexedEntropyModel(
      tfc.NoisyNormal, _NUM_SCALES, _scale, coding_rank=3, compression=False
    )
    z_model = tfc.ContinuousBatchedEntropyModel(self._z_prior, coding_rank=3, compression=False)
    x = tf.cast(x, tf.float32)
    y = self._g_a(x / 255.0)
    z, z_bits = z_model(self._h_a(tf.abs(y)), training=True)
    y, y_bits = y_model(y, self._h_s(z), training=True)
    x_hat = self._g_s(y) * 255.0
    pixels = tf.cast(tf.size(x) // 3, tf.float32)
    bpp = (tf.reduce_sum(y_bits) + tf.reduce_sum(z_bits)) / pixels
    return bpp + self._lmbda * tf.reduce_mean(tf.math.squared_difference(x, x_hat))

  def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """One step of gradient descent."""
    with tf.GradientTape() as tape:
      loss = self(x)
    variables = self.trainable_variables
    self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    return {"loss": loss}


def _scale(index):
  step = math.log(_SCALE_MAX / _SCALE_MIN) / (_NUM_SCALES - 1)
  return tf.exp(math.log(_SCALE_MIN) + step * index)


def _down(channels, support, stride, activation=None, use_bias=True):
  return tfc.SignalConv2D(
    channels,
    (support, support),
    corr=True,
    strides_down=stride,
    padding="same_zeros",
    use_bias=use_bias,
    activation=activation,
  )


def _up(channels, support, stride, activation=None, **kwargs):
  return tfc.SignalConv2D(
    channels,
    (support, support),
    corr=False,
    strides_up=stride,
    padding="same_zeros",
    use_bias=True,
    activation=activation,
    **kwargs,
  )
