"""The convolutions and the normalization that the transforms are made of.

All convolutions are tensorflow-compression's `SignalConv2D` with its default parametrisation by
the real Fourier transform of the kernel, which trains in far fewer steps than plain kernels. A
codec, whose weights do not change, holds them as constants instead, arranged as TensorFlow's
operations take them.
"""

from typing import Callable, Optional

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen.layers.fourier_kernel import FourierKernel
from bmshj_minnen.layers.polyphase import interleave, polyphase

__all__ = [
  "GDN",
  "Convolution",
  "PhaseConvolution",
  "PolyphaseConvolution",
  "TransposedConvolution",
  "turned",
]

_FEW_CHANNELS = 4


class GDN(tfc.GDN):
  """The paper's form, x / sqrt(beta + gamma x^2) (Ballé et al., 2016), or its inverse.

  tfc's own default is the cheaper x / (beta + gamma |x|). It keeps the exponents as tensors, which
  it compares and branches on in every graph.

  Args:
    inverse: whether it multiplies.
    dtype: Keras policy. Squares overflow float16, and for training sums of them need more digits
      than bfloat16 has.

  Attributes:
    is_convolution: whether the sums are a 1x1 convolution. In TensorFlow, and behind the
      transpositions of g_s, a matrix product is faster; between convolutions of a runtime that has
      channels first it would move all channels twice.
  """

  def __init__(self, inverse: bool, dtype: str = "float32"):
    super().__init__(
      inverse=inverse, alpha_parameter=2.0, epsilon_parameter=0.5, dtype=dtype, name="gdn"
    )
    self._constants = None
    self.is_convolution = False

  def hold(self, beta: tf.Tensor, gamma: tf.Tensor) -> None:
    """Takes constants in place of variables; before it is built."""
    self._constants = tf.cast(beta, self.compute_dtype), tf.cast(gamma, self.compute_dtype)

  def build(self, input_shape):
    if self._constants is None:
      super().build(input_shape)
    else:
      tf.keras.layers.Layer.build(self, input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """[B, h, w, C] -> the same."""
    beta, gamma = self._constants or (self.beta, self.gamma)
    pool = tf.nn.bias_add(self._product(tf.square(inputs), gamma), beta)
    return inputs * (tf.sqrt(pool) if self.inverse else tf.math.rsqrt(pool))

  def _product(self, squares, gamma):
    if self.is_convolution:
      return tf.nn.conv2d(squares, gamma[None, None], 1, "VALID")
    rows = tf.reshape(squares, [-1, squares.shape[-1]])
    return tf.reshape(tf.matmul(rows, gamma), tf.shape(squares))


class Convolution(tfc.SignalConv2D):
  """`SignalConv2D` with a bias, zero padding and a `FourierKernel`.

  Args:
    channels: of the outputs.
    support: odd side of the kernel.
    stride: downwards.
    activation: a function, or a `GDN`.
    dtype: Keras policy; None: the global one.
  """

  def __init__(
    self,
    channels: int,
    support: int,
    stride: int = 1,
    activation: Optional[Callable] = None,
    dtype: Optional[str] = None,
    **kwargs,
  ):
    options = {"corr": True, "strides_down": stride, **kwargs}
    super().__init__(
      channels,
      (support, support),
      padding="same_zeros",
      use_bias=True,
      activation=activation,
      dtype=dtype,
      **options,
    )
    self._constants = None

  def hold(
    self,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    beta: Optional[tf.Tensor] = None,
    gamma: Optional[tf.Tensor] = None,
  ) -> None:
    """Takes constants in place of variables, the last two for its GDN; before it is built."""
    dtype = self.compute_dtype
    self._constants = tf.cast(self._arranged(kernel), dtype), tf.cast(bias, dtype)
    if isinstance(self.activation, GDN):
      self.activation.hold(beta, gamma)

  def build(self, input_shape):
    if self._constants is not None:
      tf.keras.layers.Layer.build(self, input_shape)
      return
    shape = (*self.kernel_support, input_shape[-1], self.filters)
    initial = self.kernel_initializer(shape=shape, dtype=self.variable_dtype)
    self.kernel_parameter = FourierKernel(initial, name="kernel")
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """[B, h, w, in] -> [B, ceil(h / stride), ceil(w / stride), channels]."""
    return self._activated(self._affine(inputs))

  def _affine(self, inputs):
    """All but the activation."""
    kernel, bias = self._constants or (self._arranged(self.kernel), self.bias)
    return tf.nn.bias_add(self._product(inputs, kernel), bias)

  def _activated(self, outputs):
    return outputs if self.activation is None else self.activation(outputs)

  def _arranged(self, kernel):
    """A kernel as `_product` takes it."""
    return kernel

  def _product(self, inputs, kernel):
    stride, margin = self.strides_down[0], [self.kernel_support[0] // 2] * 2
    if stride == 1:
      return tf.nn.conv2d(inputs, kernel, 1, "SAME")
    padding = [[0, 0], margin, margin, [0, 0]]
    if self._constants is None:
      # On CPUs TensorFlow leaves gradients of explicitly padded convolutions to Eigen. Steps take a
      # tenth longer than with oneDNN, and in bfloat16, which Eigen has none of, ten times as long.
      inputs, padding = tf.pad(inputs, padding), "VALID"
    return tf.nn.conv2d(inputs, kernel, stride, padding)


class _UpwardConvolution(Convolution):
  """With a stride of 2 upwards and a support of 5."""

  def __init__(
    self, channels: int, activation: Optional[Callable] = None, dtype: Optional[str] = None
  ):
    super().__init__(
      channels, 5, activation=activation, dtype=dtype, corr=False, strides_down=1, strides_up=2
    )


class TransposedConvolution(_UpwardConvolution):
  """A convolution upwards as TensorFlow computes it fast, with a stride of 2 and a support of 5.

  On CPUs TensorFlow has fast code for "SAME" padding only, which is one sample before and two
  behind where tfc's layers have two and one. For the mirror image that is the same.
  """

  def call(self, inputs: tf.Tensor, mirrored: bool = False) -> tf.Tensor:
    """[B, h, w, in] -> [B, 2 h, 2 w, channels].

    Args:
      inputs: the image.
      mirrored: whether it is upside down and left to right, and the result is to be so.
    """
    if mirrored:
      return self._activated(self._affine(inputs))
    return self._activated(turned(self._affine(turned(inputs))))

  def _arranged(self, kernel):
    return tf.transpose(turned(kernel, 0), [0, 1, 3, 2])

  def _product(self, inputs, kernel):
    shape = tf.shape(inputs)
    outputs = [shape[0], 2 * shape[1], 2 * shape[2], self.filters]
    return tf.nn.conv2d_transpose(inputs, kernel, outputs, strides=2, padding="SAME")


class PolyphaseConvolution(TransposedConvolution):
  """The same function, fast where there are few outputs: of pixels."""

  def _arranged(self, kernel):
    return polyphase(kernel, mirrored=True)

  def _product(self, inputs, kernel):
    return tf.nn.depth_to_space(tf.nn.conv2d(inputs, kernel, 1, "SAME"), 2)


class PhaseConvolution(_UpwardConvolution):
  """The same function of ordinary convolutions and a transposition, without mirror images.

  Runtimes other than TensorFlow have fast code for these. Each phase of the outputs has a
  convolution of its own with the taps that it needs; few outputs, as of pixels, share one.
  """

  def _arranged(self, kernel):
    return polyphase(kernel)

  def _affine(self, inputs):
    kernel, bias = self._constants or (self._arranged(self.kernel), self.bias)
    return interleave(self._phases(inputs, kernel, bias), tf.shape(inputs)[:3])

  def _phases(self, inputs, kernel, bias):
    """All four, as channels."""
    if self.filters <= _FEW_CHANNELS:
      return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, "SAME"), tf.tile(bias, [4]))
    phases = []
    for part, (row, column) in zip(tf.split(kernel, 4, -1), [(0, 0), (0, 1), (1, 0), (1, 1)]):
      padding = [[0, 0], [1 - row, 1], [1 - column, 1], [0, 0]]
      part = tf.nn.conv2d(inputs, part[row:, column:], 1, padding)
      phases.append(tf.nn.bias_add(part, bias))
    return tf.concat(phases, -1)


def turned(x: tf.Tensor, first: int = 1) -> tf.Tensor:
  """Upside down and left to right: [B, h, w, C], or where `first` is the axis of rows.

  One axis at a time: OpenVINO has no operation for two.
  """
  return tf.reverse(tf.reverse(x, [first]), [first + 1])
