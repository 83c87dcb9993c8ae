"""Layers one after another."""

import tensorflow as tf

from bmshj_minnen.layers.convolutions import PhaseConvolution, TransposedConvolution, turned

__all__ = ["Chain"]


class Chain(tf.keras.Sequential):
  """`Sequential` whose transposed convolutions share one mirror image.

  It is turned before the first of a row of them and back after the last. No graph of Keras's is
  made of the layers, which takes longer than building them.
  """

  def build(self, input_shape):
    """Builds one layer after another, without a forward pass."""
    for layer in self.layers:
      if not layer.built:
        layer.build(input_shape)
      input_shape = layer.compute_output_shape(input_shape)
    self.built = True

  def call(self, inputs: tf.Tensor, training=None, mask=None) -> tf.Tensor:
    """The last layer's result."""
    is_mirrored = False
    for layer in self.layers:
      wants_mirrored = isinstance(layer, TransposedConvolution)
      if wants_mirrored != is_mirrored:
        inputs = turned(inputs)
      inputs = layer(inputs, mirrored=True) if wants_mirrored else layer(inputs)
      is_mirrored = wants_mirrored
    return turned(inputs) if is_mirrored else inputs

  def in_phases(self) -> "Chain":
    """A new one of the same function whose layers are not built: none has a mirror image."""
    layers = [
      PhaseConvolution(layer.filters, layer.activation, layer.dtype_policy)
      if isinstance(layer, TransposedConvolution)
      else layer
      for layer in self.layers
    ]
    return Chain(layers, name=self.name)
