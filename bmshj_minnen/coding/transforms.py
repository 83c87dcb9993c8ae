"""g_a, h_a and g_s with constant weights, as fast as TensorFlow's convolutions allow.

The Keras layers derive their kernels from Fourier coefficients at every call, and need seven
parts of ten of the time again. These are the same transforms on kernels computed once.
"""

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding.phases import phases
from bmshj_minnen.config import ModelConfig

__all__ = ["Transforms"]

_SAME = [[0, 0], [2, 2], [2, 2], [0, 0]]  # Padding of 5x5 kernels.


class Transforms:
  """The float transforms of one model.

  Args:
    config: of the model.
    weights: its arrays, named as in `bmshj_minnen.weights`.
  """

  def __init__(self, config: ModelConfig, weights: dict[str, np.ndarray]):
    self._config = config
    parts = ("g_a", "g_s", "h_a")
    weights = {
      k: v for k, v in weights.items() if k.split("/")[0] in parts or k == "y_density/median"
    }
    # The last layer has three outputs; a transposed convolution is slow for so few.
    weights["g_s/3/kernel"] = phases(weights["g_s/3/kernel"])
    for i in range(3):
      weights[f"g_s/{i}/kernel"] = weights[f"g_s/{i}/kernel"].transpose(0, 1, 3, 2)
    self._weights = {name: tf.constant(value, tf.float32) for name, value in weights.items()}

  def g_a(self, x: tf.Tensor) -> tf.Tensor:
    """[1, 16 h, 16 w, 3] in 0..1 -> y [1, h, w, M]."""
    for i in range(4):
      x = self._conv(f"g_a/{i}", x, 2)
      if i < 3:
        x *= tf.math.rsqrt(self._norm(f"g_a/{i}", x))
    return x

  def h_a(self, y: tf.Tensor) -> tf.Tensor:
    """Y [1, h, w, M] -> z [1, ceil(h / 4), ceil(w / 4), N]."""
    slope = self._config.slope
    x = tf.abs(y) if self._config.prior == "scale_hyperprior" else y
    x = tf.nn.leaky_relu(self._conv("h_a/0", x, 1), slope)
    x = tf.nn.leaky_relu(self._conv("h_a/1", x, 2), slope)
    return self._conv("h_a/2", x, 2)

  def g_s(self, y_hat: tf.Tensor) -> tf.Tensor:
    """ŷ [1, h, w, M] -> [1, 16 h, 16 w, 3] in about 0..1."""
    x = y_hat
    if "y_density/median" in self._weights:
      x += self._weights["y_density/median"]
    for i in range(3):
      shape = tf.shape(x)
      kernel, bias = self._weights[f"g_s/{i}/kernel"], self._weights[f"g_s/{i}/bias"]
      outputs = [shape[0], 2 * shape[1], 2 * shape[2], kernel.shape[2]]
      x = tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, outputs, 2, _SAME), bias)
      x *= tf.sqrt(self._norm(f"g_s/{i}", x))
    x = tf.nn.conv2d(x, self._weights["g_s/3/kernel"], 1, "SAME")
    return tf.nn.bias_add(tf.nn.depth_to_space(x, 2), self._weights["g_s/3/bias"])

  def _conv(self, name, x, stride):
    kernel = self._weights[f"{name}/kernel"]
    padding = _SAME if kernel.shape[0] == 5 else "SAME"
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, padding), self._weights[f"{name}/bias"])

  def _norm(self, name, x):
    """Beta + gamma x^2, the pool of a GDN."""
    gamma = self._weights[f"{name}/gamma"][None, None]
    return tf.nn.bias_add(
      tf.nn.conv2d(tf.square(x), gamma, 1, "VALID"), self._weights[f"{name}/beta"]
    )
