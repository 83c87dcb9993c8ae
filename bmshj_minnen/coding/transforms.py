"""g_a, h_a and g_s with constant weights, as fast as TensorFlow's convolutions allow.

The Keras layers derive their kernels from Fourier coefficients at every call, and need seven
parts of ten of the time again. These are the same transforms on kernels computed once.

On CPUs oneDNN takes transposed convolutions whose padding is not explicit, others go to slower
code (in bfloat16, forty times). For kernels of 5 and stride 2, "SAME" pads one sample before and
two behind, where tfc's layers have two and one. Upside down and from right to left that is the
same: so g_s runs on the mirror image.
"""

import re

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding.phases import phases
from bmshj_minnen.config import CODEC_PRECISIONS, ModelConfig

__all__ = ["Transforms"]

_AMONG_HIDDEN = re.compile(r"g_a/[012]|g_s/[12]|g_s/0/(gamma|beta)|g_s/3/kernel")
_SAME = [[0, 0], [2, 2], [2, 2], [0, 0]]  # Padding of 5x5 kernels.


class Transforms:
  """The float transforms of one model.

  Args:
    config: of the model.
    weights: its arrays, named as in `bmshj_minnen.model_files.weights`.
    precision: of the convolutions of g_a and g_s among pixels and hidden layers, one of
      `config.CODEC_PRECISIONS`. Those that make or take latents, whose values may be large, and
      h_a are in float32.

  Raises:
    ValueError: there is no such precision.
  """

  def __init__(self, config: ModelConfig, weights: dict[str, np.ndarray], precision: str):
    if precision not in CODEC_PRECISIONS:
      raise ValueError(f"precision {precision!r} is none of {', '.join(CODEC_PRECISIONS)}")
    self._config = config
    self._dtype = tf.as_dtype(precision)
    parts = ("g_a", "g_s", "h_a")
    weights = {
      k: v for k, v in weights.items() if k.split("/")[0] in parts or k == "y_density/median"
    }
    for i in range(3):
      weights[f"g_s/{i}/kernel"] = weights[f"g_s/{i}/kernel"][::-1, ::-1].transpose(0, 1, 3, 2)
    # The last layer has three outputs; a transposed convolution is slow for so few.
    weights["g_s/3/kernel"] = _mirrored(phases(weights["g_s/3/kernel"]))
    self._weights = {
      name: tf.constant(value, self._dtype if _AMONG_HIDDEN.match(name) else tf.float32)
      for name, value in weights.items()
    }

  def g_a(self, x: tf.Tensor) -> tf.Tensor:
    """[1, 16 h, 16 w, 3] in 0..1 -> y [1, h, w, M]."""
    x = tf.cast(x, self._dtype)
    for i in range(3):
      x = self._conv(f"g_a/{i}", x, 2)
      x *= tf.math.rsqrt(self._norm(f"g_a/{i}", x))
    return self._conv("g_a/3", tf.cast(x, tf.float32), 2)

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
    x = tf.reverse(x, [1, 2])
    for i in range(3):
      x = tf.cast(self._deconv(f"g_s/{i}", x), self._dtype)
      x *= tf.sqrt(self._norm(f"g_s/{i}", x))
    x = tf.nn.conv2d(x, self._weights["g_s/3/kernel"], 1, "SAME")
    x = tf.cast(tf.reverse(tf.nn.depth_to_space(x, 2), [1, 2]), tf.float32)
    return tf.nn.bias_add(x, self._weights["g_s/3/bias"])

  def _conv(self, name, x, stride):
    kernel = self._weights[f"{name}/kernel"]
    padding = _SAME if kernel.shape[0] == 5 else "SAME"
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, padding), self._weights[f"{name}/bias"])

  def _deconv(self, name, x):
    """A mirrored transposed convolution of a mirrored image."""
    shape, kernel = tf.shape(x), self._weights[f"{name}/kernel"]
    outputs = [shape[0], 2 * shape[1], 2 * shape[2], kernel.shape[2]]
    x = tf.nn.conv2d_transpose(x, kernel, outputs, 2, "SAME")
    return tf.nn.bias_add(x, self._weights[f"{name}/bias"])

  def _norm(self, name, x):
    """Beta + gamma x^2, the pool of a GDN."""
    gamma = self._weights[f"{name}/gamma"][None, None]
    return tf.nn.bias_add(
      tf.nn.conv2d(tf.square(x), gamma, 1, "VALID"), self._weights[f"{name}/beta"]
    )


def _mirrored(kernel):
  """The kernel [3, 3, in, 4 out] of `phases` for an image turned upside down and left to right."""
  kernel = kernel.reshape(3, 3, kernel.shape[2], 2, 2, -1)[::-1, ::-1, :, ::-1, ::-1]
  return kernel.reshape(3, 3, kernel.shape[2], -1)
