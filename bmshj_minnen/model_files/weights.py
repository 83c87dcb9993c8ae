"""A model's weights as named arrays: the paper's quantities, free of any parametrisation.

Names are `part/layer/quantity`, such as `g_a/0/kernel`, `g_s/2/gamma`, `z_density/matrix_1`.
Kernels are [height, width, in, out]; those of 1x1 convolutions are [in, out].
"""

import numpy as np
import tensorflow as tf

from bmshj_minnen.layers.parametrisation import quantities
from bmshj_minnen.model import Model

__all__ = ["assign", "to_arrays"]


def to_arrays(model: Model) -> dict[str, np.ndarray]:
  """All weights of a built model, float32."""
  return {name: np.asarray(get(), np.float32) for name, (get, _) in _weights(model).items()}


def assign(model: Model, arrays: dict[str, np.ndarray]) -> None:
  """Gives a built model the weights that `to_arrays` returned for another one.

  Raises:
    ValueError: names or shapes are not those of this model.
  """
  weights = _weights(model)
  if set(weights) != set(arrays):
    odd = sorted(set(weights) ^ set(arrays))
    raise ValueError(f"the weights are of another model: only one of the two has {odd[0]}")
  for name, (get, put) in weights.items():
    shape = tuple(get().shape)
    if shape != arrays[name].shape:
      raise ValueError(
        f"the weights are of another model: {name} has shape {arrays[name].shape}, not {shape}"
      )
    put(tf.constant(arrays[name], tf.float32))


def _weights(model):
  """Name -> (read, write)."""
  weights = {}
  for part in ("g_a", "g_s", "h_a", "h_s", "g_cm", "g_ep", "z_density", "y_density"):
    layer = getattr(model, part)
    if layer is None:
      continue
    if part in ("z_density", "y_density"):
      # tfp distributions expose their variables by name only.
      for variable in layer.density.trainable_variables:
        name = f"{part}/{variable.name.split(':')[0].split('/')[-1]}"
        weights[name] = (variable.read_value, variable.assign)
      if layer.median is not None:
        weights[f"{part}/median"] = (layer.median.read_value, layer.median.assign)
    elif part == "g_cm":
      weights[f"{part}/kernel"] = (lambda layer=layer: layer.kernel, layer.assign_kernel)
      weights[f"{part}/bias"] = (layer.bias.read_value, layer.bias.assign)
    else:
      for i, sublayer in enumerate(layer.layers):
        for quantity, access in quantities(sublayer).items():
          weights[f"{part}/{i}/{quantity}"] = access
  if model.gains is not None:
    for name in ("log_gain", "log_inverse"):
      variable = getattr(model.gains, name)
      weights[f"gains/{name}"] = (variable.read_value, variable.assign)
  return weights
