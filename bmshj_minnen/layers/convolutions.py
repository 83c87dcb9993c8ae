"""The convolutions and the normalization of the transforms.

All convolutions are tensorflow-compression's `SignalConv2D` with its default parametrisation by
the real Fourier transform of the kernel, which trains in far fewer steps than plain kernels. The
weights of a codec do not change: it holds them as constants, in the layout of TensorFlow's
operations.
"""

from typing import Callable, Optional

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen.kernels.fourier_kernel import FourierKernel
from bmshj_minnen.kernels.polyphase import interleave, polyphase

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

  tfc's own default is the cheaper x / (beta + gamma |x|). It keeps the exponents as tensors, and
  compares them and branches on them in every graph.

  Args:
    inverse: whether to multiply in place of dividing.
    dtype: Keras policy. Squares overflow float16, and in training their sums need more digits than
      bfloat16 has.

  Attributes:
    is_convolution: whether the sums are computed by a 1x1 convolution. A matrix product is faster
      in TensorFlow, and behind the transpositions of g_s. But between convolutions of a runtime
      with channels first, a matrix product would move all channels twice.
  """

  def __init__(self, inverse: bool, dtype: str = "float32"):
    super().__init__(
      inverse=inverse, alpha_parameter=2.0, epsilon_parameter=0.5, dtype=dtype, name="gdn"
    )
    self._constants = None
    self.is_convolution = False

  def hold(self, beta: tf.Tensor, gamma: tf.Tensor) -> None:
    """Uses constants beta [C] and gamma [C, C] for variables; call it before the layer is built."""
    self._constants = tf.cast(beta, self.compute_dtype), tf.cast(gamma, self.compute_dtype)

  def build(self, input_shape):
    if self._constants is None:
      super().build(input_shape)
    else:
      tf.keras.layers.Layer.build(self, input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    """[B, h, w, C] -> [B, h, w, C]."""
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
    channels: output channels.
    support: side of the kernel, odd.
    stride: stride downwards.
    activation: a function, or a `GDN`.
    dtype: Keras policy; None: the global policy.
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
    """Uses constants in place of variables; call it before the layer is built.

    Args:
      kernel: [support, support, in, out].
      bias: [out].
      beta, gamma: [out] and [out, out], for the GDN, if the layer has one.
    """
    dtype = self.compute_dtype
    self._constants = tf.cast(self._arranged(kernel), dtype), tf.cast(bias, dtype)
    if isinstance(self.activation, GDN):
      self.activation.hold(beta, gamma)

  def build(self, input_shape):
    if isinstance(self.activation, tf.keras.layers.Layer) and not self.activation.built:
      with tf.name_scope(f"{self.name}/{self.activation.name}"):
        self.activation.build((*input_shape[:-1], self.filters))
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
    """The layer without its activation."""
    kernel, bias = self._constants or (self._arranged(self.kernel), self.bias)
    return tf.nn.bias_add(self._product(inputs, kernel), bias)

  def _activated(self, outputs):
    return outputs if self.activation is None else self.activation(outputs)

  def _arranged(self, kernel):
    """The kernel in the layout that `_product` needs."""
    return kernel

  def _product(self, inputs, kernel):
    stride, margin = self.strides_down[0], [self.kernel_support[0] // 2] * 2
    if stride == 1:
      return tf.nn.conv2d(inputs, kernel, 1, "SAME")
    padding = [[0, 0], margin, margin, [0, 0]]
    if self._constants is None:
      # On CPUs TensorFlow leaves gradients of explicitly padded convolutions to Eigen. Steps take a
      # tenth longer than with oneDNN, and ten times as long in bfloat16, which Eigen lacks.
      inputs, padding = tf.pad(inputs, padding), "VALID"
    return tf.nn.conv2d(inputs, kernel, stride, padding)


class _UpwardConvolution(Convolution):
  """A convolution with a stride of 2 upwards and a support of 5."""

  def __init__(
    self, channels: int, activation: Optional[Callable] = None, dtype: Optional[str] = None
  ):
    super().__init__(
      channels, 5, activation=activation, dtype=dtype, corr=False, strides_down=1, strides_up=2
    )


class TransposedConvolution(_UpwardConvolution):
  """A convolution that TensorFlow computes fast, with a stride of 2 upwards and a support of 5.

  On CPUs TensorFlow has fast code for "SAME" padding only: one sample before and two behind. tfc's
  layers have two before and one behind, which is "SAME" padding of the mirror image.
  """

  def call(self, inputs: tf.Tensor, mirrored: bool = False) -> tf.Tensor:
    """[B, h, w, in] -> [B, 2 h, 2 w, channels].

    Args:
      inputs: [B, h, w, in].
      mirrored: whether the inputs are turned upside down and left to right; the result is then too.
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
  """The same function, fast for few output channels, such as pixels."""

  def _arranged(self, kernel):
    return polyphase(kernel, mirrored=True)

  def _product(self, inputs, kernel):
    return tf.nn.depth_to_space(tf.nn.conv2d(inputs, kernel, 1, "SAME"), 2)


class PhaseConvolution(_UpwardConvolution):
  """The same function made of ordinary convolutions and a transposition, without mirror images.

  Runtimes other than TensorFlow have fast code for these. Each phase of the outputs has its own
  convolution with the taps that it needs; few output channels, such as pixels, share one.
  """

  def _arranged(self, kernel):
    return polyphase(kernel)

  def _affine(self, inputs):
    kernel, bias = self._constants or (self._arranged(self.kernel), self.bias)
    return interleave(self._phases(inputs, kernel, bias), tf.shape(inputs)[:3])

  def _phases(self, inputs, kernel, bias):
    """All four phases, as channels: [B, h, w, 4 channels]."""
    if self.filters <= _FEW_CHANNELS:
      return tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, "SAME"), tf.tile(bias, [4]))
    phases = []
    for part, (row, column) in zip(tf.split(kernel, 4, -1), [(0, 0), (0, 1), (1, 0), (1, 1)]):
      padding = [[0, 0], [1 - row, 1], [1 - column, 1], [0, 0]]
      part = tf.nn.conv2d(inputs, part[row:, column:], 1, padding)
      phases.append(tf.nn.bias_add(part, bias))
    return tf.concat(phases, -1)


def turned(x: tf.Tensor, first: int = 1) -> tf.Tensor:
  """Turns x upside down and left to right; the shape stays, such as [B, h, w, C].

  Axes are reversed one at a time: OpenVINO has no operation for two.

  Args:
    x: a tensor with rows and columns.
    first: the axis of rows; columns follow.
  """
  return tf.reverse(tf.reverse(x, [first]), [first + 1])
