"""Layers in a form that integers can compute: a matrix product, a bias and a leaky ReLU."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["Affine", "affine"]

_keras = tf.keras.layers


class Affine(NamedTuple):
  """The parameters of a layer.

  Attributes:
    kernel: [support, support, in, out] float32; with a stride upwards, the kernel of a transposed
      convolution, see `polyphase`.
    bias: [out] float32.
    up: stride upwards.
    slope: slope of the negative half of the activation; 1: linear.
  """

  kernel: np.ndarray
  bias: np.ndarray
  up: int
  slope: float


def affine(layer: tf.keras.layers.Layer) -> Affine:
  """The parameters of a built layer.

  Raises:
    ValueError: the layer or its activation has another form.
  """
  slope, up = _slope(layer), 1
  if isinstance(layer, tfc.SignalConv2D):
    up = layer.strides_up[0]
    is_known = layer.strides_up == (up, up) and layer.strides_down == (1, 1)
    is_known &= layer.corr == (up == 1) and layer.padding == "same_zeros"
  elif isinstance(layer, _keras.Conv2D) and not isinstance(layer, _keras.Conv2DTranspose):
    is_known = layer.strides == layer.dilation_rate == (1, 1) and layer.groups == 1
    is_known &= layer.padding == "same"
  else:
    is_known = isinstance(layer, _keras.Dense)
  kernel = np.asarray(layer.kernel, np.float32) if is_known else np.zeros([0, 1])
  if kernel.ndim == 2:
    kernel = kernel[None, None]
  if not is_known or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
    raise ValueError(f"layer {layer.name}: integers cannot compute this {type(layer).__name__}")
  bias = np.asarray(layer.bias, np.float32) if layer.use_bias else np.zeros(kernel.shape[-1])
  return Affine(kernel, bias, up, slope)


def _slope(layer):
  activation = getattr(layer, "activation", None)
  if activation is None:
    return 1.0
  x = np.array([-1, -3, 0, 1, 3], np.float32)
  y = np.asarray(activation(tf.constant(x)), np.float32)
  slope = -float(y[0]) + 0.0  # Not -0.
  if not 0 <= slope <= 1 or not np.allclose(y, np.where(x < 0, slope * x, x)):
    raise ValueError(f"layer {layer.name}: its activation is no ReLU, leaky or not")
  return slope
