"""The receptive fields of a network's layers."""

import tensorflow as tf
import tensorflow_compression as tfc

from bmshj_minnen.receptive_field import ReceptiveField

__all__ = ["UnknownLayerError", "receptive_fields"]

_keras = tf.keras.layers
_POINTWISE = (
  tfc.GDN,
  _keras.Activation,
  _keras.BatchNormalization,
  _keras.Dense,
  _keras.Dropout,
  _keras.ELU,
  _keras.InputLayer,
  _keras.LeakyReLU,
  _keras.ReLU,
)
_POOLS = (_keras.AveragePooling2D, _keras.MaxPooling2D)


class UnknownLayerError(ValueError):
  """The receptive field of a layer is unknown."""


def receptive_fields(
  network: tf.keras.layers.Layer, whole_strides: bool = True
) -> list[ReceptiveField]:
  """The receptive fields of a network's layers, from input to output.

  Args:
    network: a layer, or layers one after another.
    whole_strides: whether sizes are always multiples of the strides. If not, the place of Keras's
      "same" padding depends on the size.

  Raises:
    UnknownLayerError: a layer is of another kind and has no `receptive_field`.
  """
  if hasattr(network, "receptive_field"):
    return [network.receptive_field]
  if isinstance(network, tf.keras.Sequential):
    return [field for layer in network.layers for field in receptive_fields(layer, whole_strides)]
  if isinstance(network, _POINTWISE):
    return [ReceptiveField(1)]
  field = _of_convolution(network, whole_strides)
  if field is None:
    raise UnknownLayerError(
      f"layer {network.name}, a {type(network).__name__}, does not say its receptive_field"
    )
  return [field]


def _of_convolution(layer, whole_strides):
  if isinstance(layer, tfc.SignalConv2D):
    rows, columns = zip(layer.kernel_support, layer.strides_down, layer.strides_up)
    support, down, up = rows
    is_known = rows == columns and support % 2 and 1 in (up, down)
    return ReceptiveField(*rows) if is_known and layer.padding == "same_zeros" else None
  if isinstance(layer, _keras.UpSampling2D) and layer.interpolation == "nearest":
    return _square(layer.size, layer.size, is_up=True)
  if isinstance(layer, _POOLS):
    fits = whole_strides and layer.pool_size == layer.strides
    return _square(layer.pool_size, layer.strides) if fits else None
  if not isinstance(layer, (_keras.Conv2D, _keras.DepthwiseConv2D)) or layer.padding != "same":
    return None
  is_up = isinstance(layer, _keras.Conv2DTranspose)
  if not (is_up or whole_strides or set(layer.strides) == {1}):
    return None
  sides = [dilation * (k - 1) + 1 for k, dilation in zip(layer.kernel_size, layer.dilation_rate)]
  return _square(sides, layer.strides, is_up)


def _square(support, stride, is_up=False):
  """The field with TensorFlow's "same" padding; None if both directions differ."""
  if len({*support}) > 1 or len({*stride}) > 1:
    return None
  down, up = (1, stride[0]) if is_up else (stride[0], 1)
  return ReceptiveField(support[0], down, up, max(support[0] - stride[0], 0) // 2)
