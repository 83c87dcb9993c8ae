"""g_a, g_s, h_a and h_s: the transforms of the paper's table 1.

All convolutions are tensorflow-compression's `SignalConv2D` with its default parametrisation by
the real Fourier transform of the kernel, which trains in far fewer steps than plain kernels.
"""

import functools
from typing import Callable

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen.layers.fourier_kernel import FourierKernel

__all__ = [
  "analysis_transform",
  "hyper_analysis_transform",
  "hyper_synthesis_transform",
  "synthesis_transform",
]


class _GDN(tfc.GDN):
  """The paper's form, x / sqrt(beta + gamma x^2) (Ballé et al., 2016).

  tfc's own default is the cheaper x / (beta + gamma |x|). It keeps the exponents as tensors, which
  it compares and branches on in every graph; as plain numbers they cost nothing there.
  """

  alpha, epsilon = 2.0, 0.5

  def __init__(self, inverse: bool):
    # Squares overflow float16, and sums of them need more digits than bfloat16 has.
    super().__init__(
      inverse=inverse,
      alpha_parameter=self.alpha,
      epsilon_parameter=self.epsilon,
      dtype=tf.float32,
    )


class _Convolution(tfc.SignalConv2D):
  """`SignalConv2D` with a bias, zero padding and a `FourierKernel`."""

  def __init__(self, channels, support, activation=None, **kwargs):
    super().__init__(
      channels,
      (support, support),
      padding="same_zeros",
      use_bias=True,
      # On CPUs TensorFlow leaves gradients of explicitly padded convolutions to Eigen. Steps take a
      # tenth longer than with oneDNN, and in bfloat16, which Eigen has none of, ten times as long.
      use_explicit=False,
      activation=activation,
      **kwargs,
    )

  def build(self, input_shape):
    shape = (*self.kernel_support, input_shape[-1], self.filters)
    initial = self.kernel_initializer(shape=shape, dtype=self.variable_dtype)
    self.kernel_parameter = FourierKernel(initial, name="kernel")
    super().build(input_shape)


class _TransposedConvolution(_Convolution):
  """The same upwards, with a stride of 2 and a support of 5.

  On CPUs TensorFlow has fast code for "SAME" padding only, which is one sample before and two
  behind where tfc's layers have two and one. For the mirror image that is the same.
  """

  def __init__(self, channels, activation=None):
    super().__init__(channels, 5, activation, corr=False, strides_up=2)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """[B, h, w, in] -> [B, 2 h, 2 w, channels]."""
    shape = tf.shape(inputs)
    outputs = tf.nn.conv2d_transpose(
      tf.reverse(inputs, [1, 2]),
      tf.transpose(tf.reverse(self.kernel, [0, 1]), [0, 1, 3, 2]),
      [shape[0], 2 * shape[1], 2 * shape[2], self.filters],
      strides=2,
      padding="SAME",
    )
    outputs = tf.nn.bias_add(tf.reverse(outputs, [1, 2]), self.bias)
    return outputs if self.activation is None else self.activation(outputs)


def _conv(channels, support, stride=1, activation=None):
  return _Convolution(channels, support, activation, corr=True, strides_down=stride)


def analysis_transform(num_filters: int, latent_channels: int) -> tf.keras.Sequential:
  """g_a: pixels [B, H, W, 3] in 0..1 -> y [B, ceil(H/16), ceil(W/16), M] float."""
  conv = functools.partial(_conv, support=5, stride=2)
  return tf.keras.Sequential(
    [conv(num_filters, activation=_GDN(inverse=False)) for _ in range(3)] + [conv(latent_channels)],
    name="g_a",
  )


def synthesis_transform(num_filters: int) -> tf.keras.Sequential:
  """g_s: ŷ [B, h, w, M] -> pixels [B, 16 h, 16 w, 3] in about 0..1, not clipped."""
  hidden = [_TransposedConvolution(num_filters, _GDN(inverse=True)) for _ in range(3)]
  return tf.keras.Sequential([*hidden, _TransposedConvolution(3)], name="g_s")


def hyper_analysis_transform(num_filters: int, activation: Callable) -> tf.keras.Sequential:
  """h_a: y [B, h, w, M] -> z [B, ceil(h/4), ceil(w/4), N] float."""
  return tf.keras.Sequential(
    [
      _conv(num_filters, 3, activation=activation),
      _conv(num_filters, 5, stride=2, activation=activation),
      _conv(num_filters, 5, stride=2),
    ],
    name="h_a",
  )


def hyper_synthesis_transform(
  hidden_channels: tuple[int, int], output_channels: int, activation: Callable
) -> tf.keras.Sequential:
  """h_s: ẑ [B, h', w', N] -> psi [B, 4 h', 4 w', output_channels] float."""
  return tf.keras.Sequential(
    [
      _TransposedConvolution(hidden_channels[0], activation),
      _TransposedConvolution(hidden_channels[1], activation),
      _conv(output_channels, 3),
    ],
    name="h_s",
  )
