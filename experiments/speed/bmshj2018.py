"""A scale hyperprior (Ballé et al., 2018) as tensorflow-compression's users train and use it.

It stands in for that project's example script, which is not in its wheel: same architecture and
same loss, built from the library's layers and entropy models. Its strings have no container.
"""

import math

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["HyperpriorCodec", "ScaleHyperprior"]

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
    self.g_s = tf.keras.Sequential(
      [_up(n, 5, 2, tfc.GDN(inverse=True)) for _ in range(3)] + [_up(3, 5, 2)]
    )
    relu = tf.nn.relu
    self.h_a = tf.keras.Sequential(
      [_down(n, 3, 1, relu), _down(n, 5, 2, relu), _down(n, 5, 2, use_bias=False)]
    )
    plain = {"kernel_parameter": "variable"}
    self.h_s = tf.keras.Sequential(
      [_up(n, 5, 2, relu, **plain), _up(n, 5, 2, relu, **plain), _up(n, 3, 1, **plain)]
    )
    self.z_prior = tfc.NoisyDeepFactorized(batch_shape=(n,))

  def analyze(self, x: tf.Tensor) -> tf.Tensor:
    """Pixels [B, H, W, 3] in 0..255 -> y [B, H / 16, W / 16, M]."""
    return self._g_a(tf.cast(x, tf.float32) / 255.0)

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """The loss R + λD of a batch [B, H, W, 3] in 0..255."""
    y_model = tfc.LocationScaleIndexedEntropyModel(
      tfc.NoisyNormal, _NUM_SCALES, _scale, coding_rank=3, compression=False
    )
    z_model = tfc.ContinuousBatchedEntropyModel(self.z_prior, coding_rank=3, compression=False)
    x = tf.cast(x, tf.float32)
    y = self.analyze(x)
    z, z_bits = z_model(self.h_a(tf.abs(y)), training=True)
    y, y_bits = y_model(y, self.h_s(z), training=True)
    x_hat = self.g_s(y) * 255.0
    pixels = tf.cast(tf.size(x) // 3, tf.float32)
    bpp = (tf.reduce_sum(y_bits) + tf.reduce_sum(z_bits)) / pixels
    return bpp + self._lmbda * tf.reduce_mean(tf.math.squared_difference(x, x_hat))

  def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """One step of gradient descent on a batch [B, H, W, 3] in 0..255."""
    with tf.GradientTape() as tape:
      loss = self(x)
    variables = self.trainable_variables
    self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
    return {"loss": loss}


class HyperpriorCodec:
  """Compresses and decompresses one image with an untrained model.

  Args:
    image: [H, W, 3] uint8.
    num_filters: N = M.
    deviation: standard deviation that the latents of the image are scaled to, and first predicted
      scale.

  Attributes:
    bpp: bits per pixel of the strings.
  """

  def __init__(self, image: np.ndarray, num_filters: int, deviation: float):
    model = ScaleHyperprior(num_filters, 0.01)
    x = tf.constant(image[None])
    y = model.analyze(x)
    model(tf.zeros([1, 64, 64, 3]))
    gain = deviation / tf.math.reduce_std(y)
    place = math.log(deviation / _SCALE_MIN) / math.log(_SCALE_MAX / _SCALE_MIN)
    first_index = place * (_NUM_SCALES - 1)
    y_model = tfc.LocationScaleIndexedEntropyModel(
      tfc.NoisyNormal, _NUM_SCALES, _scale, coding_rank=3, compression=True
    )
    z_model = tfc.ContinuousBatchedEntropyModel(
      model.z_prior, coding_rank=3, compression=True, offset_heuristic=False
    )

    def indexes_of(z_hat, shape):
      return first_index + model.h_s(z_hat)[:, : shape[0], : shape[1]]

    @tf.function
    def compress(x):
      y = gain * model.analyze(x)
      z = model.h_a(tf.abs(y))
      indexes = indexes_of(z_model.quantize(z), tf.shape(y)[1:3])
      return z_model.compress(z), y_model.compress(y, indexes), tf.shape(z)[1:3], tf.shape(y)[1:3]

    @tf.function
    def decompress(z_string, y_string, z_shape, y_shape):
      z_hat = z_model.decompress(z_string, z_shape)
      y_hat = y_model.decompress(y_string, indexes_of(z_hat, y_shape))
      x_hat = 255.0 * model.g_s(y_hat / gain)
      return tf.saturate_cast(tf.round(x_hat), tf.uint8)

    self._compress, self._decompress, self._x = compress, decompress, x
    self._strings = compress(x)
    size = sum(len(strings.numpy()[0]) for strings in self._strings[:2])
    self.bpp = 8 * size / (image.shape[0] * image.shape[1])

  def encode(self) -> None:
    """Pixels -> strings."""
    self._compress(self._x)

  def decode(self) -> None:
    """Strings -> pixels."""
    self._decompress(*self._strings)


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
