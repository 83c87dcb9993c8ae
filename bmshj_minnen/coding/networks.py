"""h_s, g_cm and g_ep of a `FrozenPrior`, in exact arithmetic, for arrays or for tensors."""

import dataclasses
from typing import Any, Optional

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.arrays import Arrays, namespace
from bmshj_minnen.coding.fixed_point import CompiledLayer
from bmshj_minnen.format.frozen_prior import FixedLayer, FrozenPrior
from bmshj_minnen.format.geometry import polyphase_support

__all__ = ["Networks", "layers_of_a_step"]


class Networks:
  """h_s, g_cm and g_ep of a `FrozenPrior`; every number is an integer.

  Args:
    frozen: the integer prior.
    dtype: dtype of matrix products, see `fixed_point.exact_dtype`.
    xp: the namespace of arrays or of tensors, see `arrays`; methods take and return these.

  Attributes:
    unit: 1 / y_step, the distance of neighbouring symbols in units of `y_step`.
    context_support: side of the kernel of g_cm, whose neighbours `parameters` needs; 0 without.
    num_parts: number of parts that `split` makes of ŷ.
    input_sizes: channels of psi, and numbers in the neighbours of a position; 0 without context.
  """

  num_parts = fixed_point.NUM_PARTS

  def __init__(self, frozen: FrozenPrior, dtype: str, xp: Any = Arrays):
    self._config, self._xp = frozen.config, xp
    if frozen.config.parts.context:
      self._of_psi = CompiledLayer(_halves(frozen)[0], dtype, xp)
    fixed = {name: layer for name, layer in frozen.layers.items() if name.startswith("h_s")}
    layers = {name: CompiledLayer(layer, dtype, xp) for name, layer in fixed.items()}
    for name, layer in layers_of_a_step(frozen).items():
      layers[name] = CompiledLayer(layer, dtype, xp, few_rows=True)
    self._h_s = _numbered("h_s", layers)
    self._hyper_layers = frozen.hyper_layers
    self._g_cm = layers.get("g_cm")
    self._g_ep = _numbered("g_ep", layers)
    self._thresholds = None
    if frozen.thresholds is not None:
      self._thresholds = xp.constant(frozen.thresholds, "float64")
    self.unit = 1.0 / frozen.y_step
    self.context_support = frozen.config.context_support if self._g_ep else 0
    self.input_sizes = (0, 0)
    if self._g_cm is not None:
      self.input_sizes = self._of_psi.fan_in, self._g_cm.fan_in

  def psi(self, z_hat: Any, height: Any, width: Any) -> Any:
    """h_s: ẑ [h', w', N] -> psi [height * width, channels], raster order, float32 integers.

    Without side information psi has no channels.
    """
    xp = self._xp
    if not self._h_s:
      return xp.zeros([height * width, 0], xp.float32)
    x = z_hat
    if self._config.medians:
      x = xp.pad(x, [[0, 0], [0, 0], [0, 1]], constant_values=1)
    for layer, (support, up) in zip(self._h_s, self._hyper_layers):
      shape = xp.shape(x)
      makes_parameters = layer is self._h_s[-1] and not self._g_ep
      x = layer(_patches(fixed_point.split(x), polyphase_support(support, up)))
      x = self._last(x) if makes_parameters else fixed_point.saturate(x)
      x = xp.reshape(x, [1, shape[0], shape[1], x.shape[-1]])
      x = (x if up == 1 else xp.depth_to_space(x, up))[0]
    x = x[:height, :width]
    return xp.reshape(x, [height * width, x.shape[-1]])

  def prepare(self, psi: Any) -> Any:
    """Prepares psi for `parameters`: [n, channels] 16-bit integers -> [n, ...]."""
    psi = self._xp.cast(psi, "float32")
    return psi if self._g_cm is None else self._of_psi.sums(fixed_point.split(psi))

  def split(self, y_hat: Any) -> Any:
    """Splits ŷ for `parameters`: [n, M] int16-valued -> [2, n, M] float32."""
    return fixed_point.split(y_hat)

  def parameters(self, prepared: Any, neighbours: Optional[Any]) -> tuple[Any, Any]:
    """Entropy parameters of n positions.

    Args:
      prepared: [n, ...] from `prepare`.
      neighbours: [2, n, taps M], parts of ŷ at the taps of the causal mask, or None without
        context.

    Returns:
      mean [n, M] float32, int16-valued, in units of `y_step`, and table index [n, M] int32: the
      index of the scale, or for the factorized prior the channel.
    """
    xp, m = self._xp, self._config.latent_channels
    shape = xp.stack([xp.shape(prepared)[0], m])
    if not self._config.parts.is_conditional:
      return xp.zeros(shape, xp.float32), xp.broadcast_to(xp.range(m), shape)
    features = prepared
    if self._g_cm is not None:
      first, *others = self._g_ep
      phi = _rounded(self._g_cm(neighbours))
      features = first.activate(first.products(phi) + prepared)
      for layer in others:
        features = layer(_rounded(features))
      features = self._last(features)
    mean = features[:, :m] if self._config.parts.means else xp.zeros(shape, xp.float32)
    index = xp.clip_by_value(features[:, -m:], 0, cfg.NUM_SCALES - 1)
    return mean, xp.cast(index, xp.int32)

  def _last(self, x):
    """Outputs of the last layer [n, channels] -> means, if any, and scale indices, float32."""
    if self._thresholds is None:
      return fixed_point.saturate(x)
    xp, m = self._xp, self._config.latent_channels
    scale = xp.round(x[:, -m:])
    index = xp.searchsorted(self._thresholds, xp.reshape(scale, [-1]))
    index = xp.cast(xp.reshape(index, xp.shape(scale)), xp.float32)
    return xp.concat([fixed_point.saturate(x[:, :-m]), index], 1)


def layers_of_a_step(frozen: FrozenPrior) -> dict[str, FixedLayer]:
  """The layers that each step of the autoregressive loop evaluates: "g_cm", "g_ep/0", ...

  The first layer of g_ep has only the weights of phi, the output of g_cm: the sums over psi do not
  depend on the step.
  """
  layers = {name: layer for name, layer in frozen.layers.items() if not name.startswith("h_s")}
  if "g_cm" in layers:
    layers["g_ep/0"] = _halves(frozen)[1]
  return layers


def _halves(frozen):
  """The first layer of g_ep as two: for psi, and for phi."""
  first = frozen.layers["g_ep/0"]
  halves = np.split(first.weights, [-frozen.layers["g_cm"].bias.size])
  return [dataclasses.replace(first, weights=half) for half in halves]


def _rounded(x: Any) -> Any:
  """Outputs of a layer [n, out] -> parts [2, n, out], the inputs of the next layer."""
  return fixed_point.split(fixed_point.saturate(x))


def _numbered(name: str, layers: dict[str, CompiledLayer]):
  """The layers of a network, in order."""
  count = sum(key.startswith(f"{name}/") for key in layers)
  return [layers[f"{name}/{i}"] for i in range(count)]


def _patches(x: Any, side: int) -> Any:
  """[parts, h, w, C] -> neighbourhoods [parts, h * w, side² C], with zeros outside the image."""
  xp = namespace(x)
  height, width = xp.shape(x)[1], xp.shape(x)[2]
  margin = [side // 2] * 2
  padded = xp.pad(x, [[0, 0], margin, margin, [0, 0]])
  taps = [padded[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
  return xp.reshape(xp.concat(taps, -1), [x.shape[0], height * width, side**2 * x.shape[-1]])
