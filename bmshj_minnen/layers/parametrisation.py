"""The numbers that a layer has learned, whatever parametrisation it is trained in."""

from typing import Callable, Optional

import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["quantities"]

_Access = tuple[Callable[[], tf.Tensor], Callable[[tf.Tensor], None]]


def quantities(layer: tf.keras.layers.Layer) -> dict[str, _Access]:
  """How to read and how to write the numbers of a layer.

  Args:
    layer: built.

  Returns:
    Of the paper's layers "kernel" and "bias", and with a GDN behind them "beta" and "gamma"; of any
    other the last part of each variable's name, and from its second use on a number: "kernel",
    "kernel_1". To each a function that returns a tensor, and one that takes a float32 tensor.
  """
  parameters = _of_the_paper(layer) or _variables(layer)
  return {name: _access(parameter) for name, parameter in parameters.items()}


def _of_the_paper(layer) -> Optional[dict[str, tf.Variable]]:
  if not getattr(layer, "use_bias", False):
    return None
  if isinstance(layer, tfc.SignalConv2D):
    parameters = {"kernel": layer.kernel_parameter, "bias": layer.bias_parameter}
  elif isinstance(layer, tf.keras.layers.Dense):
    parameters = {"kernel": layer.kernel, "bias": layer.bias}
  else:
    return None
  if isinstance(layer.activation, tfc.GDN):
    if callable(layer.activation.alpha_parameter) or callable(layer.activation.epsilon_parameter):
      return None
    parameters["beta"] = layer.activation.beta_parameter
    parameters["gamma"] = layer.activation.gamma_parameter
  elif getattr(layer.activation, "weights", None):
    return None
  return parameters


def _variables(layer):
  result = {}
  for variable in layer.weights:
    stem = variable.name.rpartition("/")[2].partition(":")[0]
    name, number = stem, 0
    while name in result:
      number += 1
      name = f"{stem}_{number}"
    result[name] = variable
  return result


def _access(parameter):
  """Of a variable, or of what a tfc reparametrisation stands for."""
  if not isinstance(parameter, tfc.Parameter):
    return parameter.read_value, lambda value: parameter.assign(tf.cast(value, parameter.dtype))

  def put(value):
    arguments = {}
    if isinstance(parameter, tfc.GDNParameter):
      arguments = {"minimum": parameter.minimum, "offset": parameter.offset}
    source = type(parameter)(value, **arguments)
    for ours, given in zip(parameter.trainable_variables, source.trainable_variables):
      ours.assign(given)

  return parameter, put
