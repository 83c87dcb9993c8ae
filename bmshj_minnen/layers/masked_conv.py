"""g_cm: the masked convolution that sees only already decoded latents (section 2)."""

import tensorflow as tf

from bmshj_minnen.format.geometry import causal_mask

__all__ = ["MaskedConv2D"]


class MaskedConv2D(tf.keras.layers.Layer):
  """A linear convolution whose kernel is masked at every use.

  The mask is applied where the kernel is read, so no route to the kernel (call, freezing to
  integers, a model just loaded) can see the unmasked one.

  Attributes:
    kernel: [support, support, C, filters] float, masked.
    bias: [filters] float.
  """

  def __init__(self, filters: int, support: int, mask_type: str = "A", **kwargs):
    super().__init__(**kwargs)
    self.filters = filters
    self._mask = causal_mask(support, mask_type)[:, :, None, None]

  def build(self, input_shape):
    support = self._mask.shape[0]
    visible = int(self._mask.sum())
    # Only the visible taps count for the fan-in.
    self._kernel = self.add_weight(
      "kernel",
      (support, support, input_shape[-1], self.filters),
      initializer=tf.keras.initializers.VarianceScaling(support * support / visible),
    )
    self.bias = self.add_weight("bias", (self.filters,), initializer="zeros")
    super().build(input_shape)

  @property
  def kernel(self) -> tf.Tensor:
    kernel = tf.convert_to_tensor(self._kernel)
    return kernel * tf.cast(self._mask, kernel.dtype)

  def assign_kernel(self, kernel: tf.Tensor) -> None:
    """Sets the kernel [support, support, C, filters]; masked taps have no effect."""
    self._kernel.assign(kernel)

  def call(self, y_hat: tf.Tensor) -> tf.Tensor:
    """ŷ [B, h, w, C] -> phi [B, h, w, filters]."""
    return tf.nn.conv2d(y_hat, self.kernel, strides=1, padding="SAME") + self.bias
