"""Receptive fields of layers, and the slopes of their activations."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen.kernels import affine
from bmshj_minnen.layers.receptive_field import UnknownLayerError, receptive_fields
from bmshj_minnen.receptive_field import inputs_of

_KERAS = tf.keras.layers
_DOWN = [
  lambda: [_KERAS.Conv2D(1, 5, 2, "same"), _KERAS.Conv2D(1, 3, 1, "same")],
  lambda: [_KERAS.Conv2D(1, 2, 4, "same"), _KERAS.Conv2D(1, 4, 1, "same")],
  lambda: [_KERAS.Conv2D(1, 3, 1, "same", dilation_rate=2), _KERAS.AveragePooling2D(4)],
  lambda: [tfc.SignalConv2D(1, 7, corr=True, strides_down=2, padding="same_zeros")],
]
_UP = [
  lambda: [_KERAS.Conv2DTranspose(1, 5, 2, "same"), _KERAS.Conv2DTranspose(1, 2, 2, "same")],
  lambda: [_KERAS.Conv2DTranspose(1, 3, 4, "same"), _KERAS.Conv2D(1, 3, 1, "same")],
  lambda: [_KERAS.UpSampling2D(2), _KERAS.Conv2DTranspose(1, 4, 2, "same")],
  lambda: [tfc.SignalConv2D(1, 7, corr=False, strides_up=2, padding="same_zeros")],
]


@pytest.mark.parametrize("make", [*_DOWN, *_UP])
def test_receptive_fields_are_what_changes_outputs(make):
  """Changing an input changes an output exactly where the receptive field includes it."""
  network = tf.keras.Sequential(make())
  x = np.zeros((1, 32, 32, 1), np.float32)
  size = network(x).shape[1]
  for variable in network.variables:
    variable.assign(tf.ones_like(variable))
  if any(isinstance(layer, tfc.SignalConv2D) for layer in network.layers):
    layer = network.layers[0]
    arrays = layer.kernel_parameter.__class__(tf.ones(layer.kernel.shape))
    layer.kernel_parameter.real.assign(arrays.real)
    layer.kernel_parameter.imag.assign(arrays.imag)
  fields = receptive_fields(network)
  unit = max(size // 32, 1)
  first, last = inputs_of(fields, unit)
  middle = 16 * size // 32 // unit * unit
  start = middle * 32 // size
  before = network(x).numpy()
  seen = []
  for i in range(32):
    changed = x.copy()
    changed[0, i] += 1
    difference = np.abs(network(changed).numpy() - before)[0, middle : middle + unit]
    seen += [i - start] if difference.max() > 1e-3 else []
  assert (seen[0], seen[-1]) == (first, last)


def test_layers_that_do_not_say_their_receptive_field_are_named():
  network = tf.keras.Sequential([_KERAS.Conv2D(1, 3, 2, "same"), _KERAS.GlobalAveragePooling2D()])
  with pytest.raises(UnknownLayerError, match="GlobalAveragePooling2D"):
    receptive_fields(network)
  # Keras pads odd sizes at another side.
  with pytest.raises(UnknownLayerError, match="Conv2D"):
    receptive_fields(network, whole_strides=False)


@pytest.mark.parametrize("slope", [0.0, 0.01, 51 / 256, 0.2, 1.0])
def test_slopes_are_read_from_activations(slope):
  layer = _KERAS.Dense(2, lambda x: tf.nn.leaky_relu(x, slope) if slope < 1 else x)
  layer(tf.zeros([1, 3]))
  assert affine.affine(layer).slope == np.float32(slope)
