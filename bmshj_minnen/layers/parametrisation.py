"""The paper's quantities in a layer, whatever parametrisation it is trained in."""

from typing import Callable

import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["quantities"]

_Access = tuple[Callable[[], tf.Tensor], Callable[[tf.Tensor], None]]


def quantities(layer: tf.keras.layers.Layer) -> dict[str, _Access]:
  """How to read and how to write the numbers of a convolution.

  Args:
    layer: built; of one of the four transforms, or of g_ep.

  Returns:
    "kernel" and "bias", and of a GDN behind them "beta" and "gamma": a function that returns a
    float32 tensor, and one that takes such a tensor.

  Raises:
    ValueError: a layer of another kind.
  """
  if isinstance(layer, tfc.SignalConv2D):
    parameters = {"kernel": layer.kernel_parameter, "bias": layer.bias_parameter}
  elif isinstance(layer, tf.keras.layers.Dense):
    parameters = {"kernel": layer.kernel, "bias": layer.bias}
  else:
    raise ValueError(f"layer {layer.name}: codecs do not know a {type(layer).__name__}")
  if isinstance(layer.activation, tfc.GDN):
    parameters["beta"] = layer.activation.beta_parameter
    parameters["gamma"] = layer.activation.gamma_parameter
  return {name: _access(parameter) for name, parameter in parameters.items()}


def _access(parameter):
  """Of a variable, or of what a tfc reparametrisation stands for."""
  if not isinstance(parameter, tfc.Parameter):
    return parameter.read_value, parameter.assign

  def put(value):
    arguments = {}
    if isinstance(parameter, tfc.GDNParameter):
      arguments = {"minimum": parameter.minimum, "offset": parameter.offset}
    source = type(parameter)(value, **arguments)
    for ours, given in zip(parameter.trainable_variables, source.trainable_variables):
      ours.assign(given)

  return parameter, put
