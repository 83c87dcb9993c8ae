"""Layers one after another."""

import tensorflow as tf

from bmshj_minnen.layers.convolutions import PhaseConvolution, TransposedConvolution, turned

__all__ = ["Chain"]


class Chain(tf.keras.Sequential):
  """`Sequential` whose transposed convolutions share one mirror image.

  The tensor is turned before the first in a row of them and turned back after the last. The layers
  are called without a Keras graph, because making one takes longer than building the layers.
  """

  def build(self, input_shape):
    """Builds one layer after another, without a forward pass."""
    for layer in self.layers:
      if not layer.built:
        layer.build(input_shape)
      input_shape = layer.compute_output_shape(input_shape)
    self.built = True

  def call(self, inputs: tf.Tensor, training=None, mask=None) -> tf.Tensor:
    """[B, h, w, in] -> the last layer's result, [B, h', w', out]."""
    is_mirrored = False
    for layer in self.layers:
      wants_mirrored = isinstance(layer, TransposedConvolution)
      if wants_mirrored != is_mirrored:
        inputs = turned(inputs)
      inputs = layer(inputs, mirrored=True) if wants_mirrored else layer(inputs)
      is_mirrored = wants_mirrored
    return turned(inputs) if is_mirrored else inputs

  def in_phases(self) -> "Chain":
    """A new, unbuilt chain that computes the same function without mirror images."""
    layers = [
      PhaseConvolution(layer.filters, layer.activation, layer.dtype_policy)
      if isinstance(layer, TransposedConvolution)
      else layer
      for layer in self.layers
    ]
    return Chain(layers, name=self.name)
