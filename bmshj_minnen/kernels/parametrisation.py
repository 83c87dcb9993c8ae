"""Access to the learned values of a layer, in whatever parametrisation it is trained."""

from typing import Callable, Optional

import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["quantities"]

_Access = tuple[Callable[[], tf.Tensor], Callable[[tf.Tensor], None]]


def quantities(layer: tf.keras.layers.Layer) -> dict[str, _Access]:
  """Functions that read and write the learned values of a layer.

  Args:
    layer: a built layer.

  Returns:
    Name -> a function that returns the tensor, and one that takes a float32 tensor. The paper's
    layers have the names "kernel" and "bias", and "beta" and "gamma" if a GDN follows. In other
    layers the name is the last part of the variable's name, numbered from its second use on:
    "kernel", "kernel_1".
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
  """Reading and writing of a variable, or of the value that a tfc reparametrisation represents."""
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
