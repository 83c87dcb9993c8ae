"""g_cm: the masked convolution that sees only already decoded latents (section 2)."""

import numpy as np
import tensorflow as tf

__all__ = ["MaskedConv2D"]


class MaskedConv2D(tf.keras.layers.Layer):
  """A linear convolution whose kernel is masked at every use.

  The mask is applied where the kernel is read, so no route to the kernel (call, freezing to
  integers, a model just loaded) can see the unmasked one.

  Args:
    filters: channels of the outputs.
    masks: what the kernel sees, [support, support], or [rows, columns, support, support, slices]
      for orders in which that depends on the position and on the slice of channels, see
      `orders.Order.masks`.

  Attributes:
    kernel: [support, support, C, filters] float, masked by all that is visible anywhere.
    bias: [filters] float.
  """

  def __init__(self, filters: int, masks: np.ndarray, **kwargs):
    super().__init__(**kwargs)
    self.filters = filters
    masks = np.asarray(masks, np.float32)
    self._masks = masks[None, None, :, :, None] if masks.ndim == 2 else masks

  def build(self, input_shape):
    support, channels = self._masks.shape[2], input_shape[-1]
    self._masks = np.repeat(self._masks, channels // self._masks.shape[-1], -1)[..., None]
    self._visible = self._masks.max((0, 1))
    # Only the visible taps count for the fan-in.
    scale = support * support * channels / max(1.0, float(self._visible.sum()))
    self._kernel = self.add_weight(
      "kernel",
      (support, support, channels, self.filters),
      initializer=tf.keras.initializers.VarianceScaling(scale),
    )
    self.bias = self.add_weight("bias", (self.filters,), initializer="zeros")
    super().build(input_shape)

  @property
  def kernel(self) -> tf.Tensor:
    kernel = tf.convert_to_tensor(self._kernel)
    return kernel * tf.cast(self._visible, kernel.dtype)

  def assign_kernel(self, kernel: tf.Tensor) -> None:
    """Sets the kernel [support, support, C, filters]; masked taps have no effect."""
    self._kernel.assign(kernel)

  def call(self, y_hat: tf.Tensor) -> tf.Tensor:
    """ŷ [B, h, w, C] -> phi [B, h, w, filters]."""
    rows, columns = self._masks.shape[:2]
    if (rows, columns) == (1, 1):
      return _convolved(y_hat, self.kernel) + self.bias
    phi = tf.zeros(tf.concat([tf.shape(y_hat)[:3], [self.filters]], 0), y_hat.dtype)
    masks = self._masks.reshape(rows * columns, -1)
    for mask in np.unique(masks[masks.any(1)], axis=0):  # One convolution for each mask.
      kernel = self.kernel * tf.cast(mask.reshape(self._visible.shape), y_hat.dtype)
      has_mask = (masks == mask).all(1).reshape(rows, columns)
      phi += _convolved(y_hat, kernel) * _tiled(has_mask, tf.shape(y_hat), y_hat.dtype)
    return phi + self.bias


def _convolved(y_hat, kernel):
  return tf.nn.conv2d(y_hat, kernel, strides=1, padding="SAME")


def _tiled(pattern, shape, dtype):
  """A pattern [rows, columns], repeated over an image: [h, w, 1]."""
  row = tf.range(shape[1]) % pattern.shape[0]
  column = tf.range(shape[2]) % pattern.shape[1]
  at = row[:, None] * pattern.shape[1] + column
  return tf.cast(tf.gather(pattern.reshape(-1), at), dtype)[..., None]
