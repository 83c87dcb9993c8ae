"""Converts CompressAI's checkpoints to a config and weights, by the names of `model_files.weights`.

The supported models are mbt2018, mbt2018-mean, bmshj2018-hyperprior and bmshj2018-factorized. Their
convolutions have the same strides and padding as ours, so kernels need only another order of axes.
Here symbols are counted from the median: CompressAI's z (or y of the factorized model) is ours plus
`median`.
"""

import re
from typing import Any

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.compressai import names
from bmshj_minnen.entropy.conditional import scale_table

__all__ = ["convert", "name_of"]

_NAMES = {
  "joint": "mbt2018",
  "mean_scale_hyperprior": "mbt2018-mean",
  "scale_hyperprior": "bmshj2018-hyperprior",
  "factorized": "bmshj2018-factorized",
}
_LEAKY_SLOPE = 0.01  # PyTorch's default.
# CompressAI's `NonNegativeParametrizer`: values are squares of parameters, minus this number.
_PEDESTAL = 2.0**-36
_BETA_MIN = 1e-6
# Tables, bounds and masks that follow from other arrays, or are checked separately.
_DERIVED = re.compile(
  r"entropy_bottleneck\.(_offset|_quantized_cdf|_cdf_length|target|likelihood_lower_bound\.bound)"
  r"|gaussian_conditional\..*"
  r"|g_[as]\.\d\.(beta|gamma)_reparam\..*"
  r"|context_prediction\.mask"
)


def name_of(prior: str) -> str:
  """CompressAI's name of a model with one of `config.PRIORS`."""
  return _NAMES[prior]


def convert(state: dict[str, np.ndarray]) -> tuple[cfg.ModelConfig, dict[str, np.ndarray]]:
  """The config and the weights of a state of one of the four models.

  Args:
    state: name -> array, see `names`.

  Returns:
    The config, and float32 weights by the names of `model_files.weights`.

  Raises:
    ValueError: the state belongs to another model, or contains NaN or infinity.
  """
  source = _Source(state)
  prior = source.prior()
  parts = cfg.PRIORS[prior]
  n, m = source.size("g_a.0.weight"), source.size("g_a.6.weight")
  hidden = (m, m * 3 // 2) if parts.means else (n, n)
  weights = {
    **_transform(source, "g_a", (3, n, n, n, m), transposed=False),
    **_transform(source, "g_s", (m, n, n, n, 3), transposed=True),
  }
  fields: dict[str, Any] = {"medians": True}
  if parts.hyperprior:
    outputs = 2 * m if parts.means else m
    weights.update(_hyper_transforms(source, (m, n, n, n), (n, *hidden, outputs)))
    fields["scale_output"] = "scale"
    source.check_scales(scale_table())
    if parts.leaky:
      fields["leaky_slope"] = _LEAKY_SLOPE
    else:
      fields["h_s_channels"] = hidden
  if parts.context:
    weights.update(_context(source, m))
  if parts.means:
    _put_means_first(weights, "g_ep/2" if parts.context else "h_s/2")
  fields["density_filters"] = _density(source, weights, *_symbols(parts, n, m))
  source.check_rest()
  weights = {name: value.astype(np.float32) for name, value in weights.items()}
  return cfg.ModelConfig(prior, n, m, **fields), weights


class _Source:
  """Removes arrays from a state while they are converted."""

  def __init__(self, state):
    self._arrays = names.canonical(state)

  def prior(self):
    """The prior of the model, one of `config.PRIORS`."""
    if "context_prediction.weight" in self._arrays:
      return "joint"
    if "h_s.4.weight" not in self._arrays:
      return "factorized"
    both = self.size("h_s.4.weight") == 2 * self.size("g_a.6.weight")
    return "mean_scale_hyperprior" if both else "scale_hyperprior"

  def size(self, name, rank=4, axis=0):
    """The number of outputs of a layer."""
    array = self._get(name)
    if array.ndim != rank:
      raise ValueError(_foreign(f"{name} has shape {array.shape}"))
    return array.shape[axis]

  def take(self, name, shape):
    """Removes an array of this shape and returns it as float64."""
    array = self._get(name)
    if array.shape != shape:
      raise ValueError(_foreign(f"{name} has shape {array.shape}, not {shape}"))
    if array.dtype.kind != "f" or not np.isfinite(array).all():
      raise ValueError(f"{name} must hold finite floating-point numbers")
    del self._arrays[name]
    return array.astype(np.float64)

  def filters(self):
    """The numbers of channels of the density's hidden layers."""
    prefix = "entropy_bottleneck.matrices."
    count = sum(name.startswith(prefix) for name in self._arrays)
    return tuple(self.size(f"{prefix}{i}", 3, 1) for i in range(count - 1))

  def check_scales(self, table):
    """Refuses scales that differ from `table`."""
    found = self._arrays.get("gaussian_conditional.scale_table", np.empty(0))
    if found.size and (found.shape != table.shape or not np.allclose(found, table, rtol=1e-3)):
      raise ValueError("gaussian_conditional.scale_table is not that of 64 scales from 0.11 to 256")
    for name in ("scale_bound", "lower_bound_scale.bound"):
      found = self._arrays.get(f"gaussian_conditional.{name}", table[:1])
      if not np.allclose(found, table[0], rtol=1e-3):
        raise ValueError(f"gaussian_conditional.{name} is {found}, not {table[0]:g}")

  def check_rest(self):
    """Refuses a state with further arrays."""
    # Scalars are counters, for example of averaged weights.
    rest = [k for k, array in self._arrays.items() if array.ndim and not _DERIVED.fullmatch(k)]
    if rest:
      raise ValueError(_foreign(f"it has {rest[0]}"))

  def _get(self, name):
    if name not in self._arrays:
      raise ValueError(_foreign(f"it has no {name}"))
    return self._arrays[name]


def _foreign(reason):
  *first, last = _NAMES.values()
  return f"not a checkpoint of CompressAI's {', '.join(first)} or {last}: {reason}"


def _convolution(source, name, channels, support, transposed=False):
  """Kernel [support, support, in, out] and bias [out] of a layer."""
  axes = channels if transposed else channels[::-1]
  kernel = source.take(f"{name}.weight", (*axes, support, support))
  kernel = kernel.transpose(2, 3, 0, 1) if transposed else kernel.transpose(2, 3, 1, 0)
  return {"kernel": kernel, "bias": source.take(f"{name}.bias", channels[1:])}


def _gdn(source, name, channels):
  beta = source.take(f"{name}.beta", (channels,))
  gamma = source.take(f"{name}.gamma", (channels, channels))
  return {
    "beta": np.maximum(beta, np.sqrt(_BETA_MIN + _PEDESTAL)) ** 2 - _PEDESTAL,
    "gamma": (np.maximum(gamma, np.sqrt(_PEDESTAL)) ** 2 - _PEDESTAL).T,
  }


def _transform(source, part, channels, transposed):
  """Weights of g_a or g_s: convolutions at even places of the sequence, GDNs between them."""
  layers = {}
  for i in range(4):
    layers[i] = _convolution(source, f"{part}.{2 * i}", channels[i : i + 2], 5, transposed)
    if i < 3:
      layers[i].update(_gdn(source, f"{part}.{2 * i + 1}", channels[i + 1]))
  return _named(part, layers)


def _hyper_transforms(source, h_a, h_s):
  analysis, synthesis = {}, {}
  for i in range(3):
    name = f"{2 * i}"
    analysis[i] = _convolution(source, f"h_a.{name}", h_a[i : i + 2], 5 if i else 3)
    synthesis[i] = _convolution(
      source, f"h_s.{name}", h_s[i : i + 2], 5 if i < 2 else 3, transposed=i < 2
    )
  return {**_named("h_a", analysis), **_named("h_s", synthesis)}


def _context(source, m):
  """Weights of g_cm and g_ep; the input of g_ep is (psi, phi) in both implementations."""
  channels = (4 * m, m * 10 // 3, m * 8 // 3, 2 * m)
  g_ep = {
    i: _convolution(source, f"entropy_parameters.{2 * i}", channels[i : i + 2], 1) for i in range(3)
  }
  for layer in g_ep.values():
    layer["kernel"] = layer["kernel"][0, 0]
  g_cm = _convolution(source, "context_prediction", (m, 2 * m), cfg.CONTEXT_SUPPORT)
  return {**_named("g_ep", g_ep), **{f"g_cm/{name}": value for name, value in g_cm.items()}}


def _put_means_first(weights, layer):
  """Swaps the outputs of the last layer, which are scales, then means, in CompressAI."""
  for name in ("kernel", "bias"):
    scales, means = np.split(weights[f"{layer}/{name}"], 2, -1)
    weights[f"{layer}/{name}"] = np.concatenate([means, scales], -1)


def _symbols(parts, n, m):
  """Name of the density, its number of channels, and the layer whose outputs it describes."""
  return ("z_density", n, "h_a/2") if parts.hyperprior else ("y_density", m, "g_a/3")


def _density(source, weights, part, channels, layer):
  """Adds the density of a layer's outputs, both relative to the medians; returns its filters."""
  filters = source.filters()
  median = source.take("entropy_bottleneck.quantiles", (channels, 1, 3))[:, 0, 1]
  sizes = (1, *filters, 1)
  for i in range(len(filters) + 1):
    outputs = sizes[i + 1]
    matrix = source.take(f"entropy_bottleneck.matrices.{i}", (channels, outputs, sizes[i]))
    bias = source.take(f"entropy_bottleneck.biases.{i}", (channels, outputs, 1))
    if i == 0:  # The density takes z - median.
      bias += np.logaddexp(0, matrix) * median[:, None, None]
    weights[f"{part}/matrix_{i}"], weights[f"{part}/bias_{i}"] = matrix, bias
    if i < len(filters):
      weights[f"{part}/factor_{i}"] = source.take(
        f"entropy_bottleneck.factors.{i}", (channels, outputs, 1)
      )
  weights[f"{part}/median"] = median
  weights[f"{layer}/bias"] = weights[f"{layer}/bias"] - median
  return filters


def _named(part, layers):
  return {
    f"{part}/{i}/{name}": value for i, layer in layers.items() for name, value in layer.items()
  }
