"""A model's weights as named arrays: the paper's quantities, independent of the parametrisation.

Names are `part/layer/quantity`, such as `g_a/0/kernel`, `g_s/2/gamma`, `z_density/matrix_1`.
Kernels are [height, width, in, out]; kernels of 1x1 convolutions are [in, out]. Weights of other
kinds of layers have the names of their variables, see `kernels.parametrisation`.
"""

from collections.abc import Mapping
from typing import Union

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.kernels.parametrisation import quantities
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.layers.convolutions import (
  GDN,
  Convolution,
  PhaseConvolution,
  PolyphaseConvolution,
  TransposedConvolution,
)
from bmshj_minnen.layers.entropy_parameters import EntropyParameters
from bmshj_minnen.layers.masked_conv import MaskedConv2D
from bmshj_minnen.layers.per_slice import PerSlice
from bmshj_minnen.model import Model

__all__ = [
  "CODED_IN_FLOAT",
  "assign",
  "held",
  "hold",
  "hold_for_refinement",
  "hold_network",
  "to_arrays",
]

_NETWORKS = ("g_a", "g_s", "h_a", "h_s", "g_cm", "g_ep")
_DENSITIES = ("z_density", "y_density")
CODED_IN_FLOAT = ("g_a", "g_s", "h_a")
_HOLDING = (Convolution, TransposedConvolution, PolyphaseConvolution, PhaseConvolution)


def to_arrays(model: Model) -> dict[str, np.ndarray]:
  """All weights of a built model, by name, float32."""
  return {name: np.asarray(get(), np.float32) for name, (get, _) in _weights(model).items()}


def assign(model: Model, arrays: dict[str, np.ndarray]) -> None:
  """Assigns weights to a built model.

  Args:
    model: a built model.
    arrays: weights that `to_arrays` returned for another model.

  Raises:
    ValueError: names or shapes do not match this model.
  """
  _assign(_weights(model), arrays)


def hold(model: Model, arrays: dict[str, np.ndarray]) -> None:
  """Assigns to a new model the weights that a codec computes with in floating point.

  These are g_a, g_s, h_a, the gains and the medians of y. The paper's layers hold them as
  constants, which are faster to create and to run; other layers hold them as variables.

  Args:
    model: a model that is not built.
    arrays: weights from `to_arrays`.

  Raises:
    ValueError: names or shapes do not match this model.
  """
  variable = _hold_networks(model, arrays, CODED_IN_FLOAT)
  _assign_some(_weights(model, variable, ("y_density",)), arrays)


def hold_for_refinement(model: Model, arrays: dict[str, np.ndarray]) -> None:
  """Assigns all weights to a new model but those of g_a, for gradients of latents alone.

  The paper's layers of g_s and h_s hold them as constants, because each use of a variable computes
  the kernel from its parameters anew.

  Args:
    model: a model that is not built.
    arrays: weights from `to_arrays`.

  Raises:
    ValueError: names or shapes do not match this model.
  """
  variable = _hold_networks(model, arrays, ("g_s", "h_s"))
  if model.h_a is not None:
    model.h_a(tf.zeros(_input_shape("h_a", model.config)))
  if model.g_cm is not None:
    y_hat, psi = tf.zeros(_input_shape("g_cm", model.config)), None
    if model.h_s is not None:
      psi = tf.zeros([*y_hat.shape[:3], model.config.psi_channels])
    model.parameters(psi, y_hat)  # Builds g_cm and g_ep.
  _assign_some(_weights(model, (*variable, "h_a", "g_cm", "g_ep")), arrays)


def _hold_networks(model, arrays, parts):
  """Holds the networks that can hold constants; builds the others, and returns their names."""
  variable = []
  for part in parts:
    network = getattr(model, part)
    if network is None:
      continue
    if held(part, network):
      hold_network(part, network, model.config, arrays)
    else:
      network(tf.zeros(_input_shape(part, model.config)))
      variable.append(part)
  return variable


def _assign_some(weights, arrays):
  _assign(weights, {name: array for name, array in arrays.items() if name in weights})


def held(part: str, network: tf.keras.layers.Layer) -> list[str]:
  """Names of the arrays that `hold_network` assigns; empty if the network has variables."""
  if not isinstance(network, Chain) or not all(map(_holds_all, network.layers)):
    return []
  return [f"{part}/{i}/{name}" for i, layer in enumerate(network.layers) for name in _names(layer)]


def hold_network(
  part: str,
  network: Chain,
  config: cfg.ModelConfig,
  arrays: Mapping[str, Union[np.ndarray, tf.Tensor]],
) -> None:
  """Assigns constants to a network, in place of variables or other constants.

  Args:
    part: name of the network, such as "g_a".
    network: a network for which `held` returns names.
    config: config of the model.
    arrays: weights by name; at least the names that `held` returns.

  Raises:
    ValueError: names or shapes do not match this network.
  """
  shape = _input_shape(part, config)
  channels = shape[-1]
  for i, layer in enumerate(network.layers):
    outputs = layer.filters
    shapes = {
      "kernel": (*layer.kernel_support, channels, outputs),
      "bias": (outputs,),
      "beta": (outputs,),
      "gamma": (outputs, outputs),
    }
    found = {name: arrays.get(f"{part}/{i}/{name}", np.empty(0)) for name in _names(layer)}
    for name, array in found.items():
      _check_shape(f"{part}/{i}/{name}", tuple(array.shape), shapes[name])
    layer.hold(**{name: tf.cast(array, tf.float32) for name, array in found.items()})
    channels = outputs
  network.build(shape)


def _holds_all(layer):
  # Subclasses, and other activations that are layers, may have other weights.
  activation = layer.activation if type(layer) in _HOLDING else layer
  return type(activation) is GDN or not isinstance(activation, tf.Module)


def _names(layer):
  """Names of the quantities of a layer."""
  of_gdn = ("beta", "gamma") if isinstance(layer.activation, GDN) else ()
  return ("kernel", "bias", *of_gdn)


def _input_shape(part, config):
  """Shape of the smallest input of a network, (B, H, W, C)."""
  side = cfg.HYPER_STRIDE
  if part == "g_a":
    return 1, cfg.LATENT_STRIDE * side, cfg.LATENT_STRIDE * side, 3
  if part == "h_s":
    return 1, 1, 1, config.num_filters
  return 1, side, side, config.latent_channels


def _assign(weights, arrays):
  if set(weights) != set(arrays):
    odd = sorted(set(weights) ^ set(arrays))
    raise ValueError(f"the weights are of another model: only one of the two has {odd[0]}")
  for name, (get, put) in weights.items():
    _check_shape(name, arrays[name].shape, tuple(get().shape))
    put(tf.constant(arrays[name], tf.float32))


def _check_shape(name, found, expected):
  if found != expected:
    raise ValueError(f"the weights are of another model: {name} has shape {found}, not {expected}")


def _weights(model, networks=_NETWORKS, densities=_DENSITIES):
  """Name -> (read, write); of some networks and densities, and of the gains."""
  weights = {}
  for part in networks:
    if getattr(model, part) is not None:
      weights.update(_of_network(part, getattr(model, part)))
  for part in densities:
    if getattr(model, part) is not None:
      weights.update(_of_density(part, getattr(model, part)))
  weights.update(_of_gains(model.gains))
  return weights


def _of_network(part, network):
  if isinstance(network, PerSlice):
    slices = (_of_network(f"{part}/{i}", one) for i, one in enumerate(network.slices))
    return {name: access for one in slices for name, access in one.items()}
  if isinstance(network, MaskedConv2D):
    return {
      f"{part}/kernel": (lambda: network.kernel, network.assign_kernel),
      f"{part}/bias": (network.bias.read_value, network.bias.assign),
    }
  layers = {part: network}
  if isinstance(network, (tf.keras.Sequential, EntropyParameters)):
    layers = {f"{part}/{i}": layer for i, layer in enumerate(network.layers)}
  return {
    f"{name}/{quantity}": access
    for name, layer in layers.items()
    for quantity, access in quantities(layer).items()
  }


def _of_density(part, density):
  # tfp distributions expose their variables by name only.
  weights = {
    f"{part}/{variable.name.split(':')[0].split('/')[-1]}": (variable.read_value, variable.assign)
    for variable in density.density.trainable_variables
  }
  if density.median is not None:
    weights[f"{part}/median"] = (density.median.read_value, density.median.assign)
  return weights


def _of_gains(gains):
  if gains is None:
    return {}
  named = {name: getattr(gains, name) for name in ("log_gain", "log_inverse")}
  return {f"gains/{name}": (v.read_value, v.assign) for name, v in named.items()}
