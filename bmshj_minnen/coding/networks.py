"""h_s, g_cm and g_ep of a `FrozenPrior`, in exact arithmetic, for arrays or for tensors."""

import dataclasses
from typing import Any, Optional

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.arrays import Arrays, namespace
from bmshj_minnen.coding.fixed_point import CompiledLayer
from bmshj_minnen.coding.passes import Schedule
from bmshj_minnen.format.frozen_prior import FixedLayer, FrozenPrior, slice_name
from bmshj_minnen.format.geometry import polyphase_support

__all__ = ["IntegerNetworks", "layers_of_a_step"]


class IntegerNetworks:
  """h_s, g_cm and g_ep of a `FrozenPrior`; every number is an integer.

  Args:
    frozen: the integer prior.
    dtype: dtype of matrix products, see `fixed_point.exact_dtype`.
    xp: the namespace of arrays or of tensors, see `arrays`; methods take and return these.

  Attributes:
    unit: 1 / y_step, the distance of neighbouring symbols in units of `y_step`.
    schedule: the passes in which latents are coded; `parameters` needs the neighbours of each.
    num_parts: number of parts that `split` makes of ŷ.
    input_sizes: channels of psi, and numbers in the neighbours of a position of the first slice; 0
      without context.
  """

  num_parts = fixed_point.NUM_PARTS

  def __init__(self, frozen: FrozenPrior, dtype: str, xp: Any = Arrays):
    self._config, self._xp = frozen.config, xp
    self.schedule = Schedule.of(frozen)
    self._hyper_layers = frozen.hyper_layers
    self._h_s = [CompiledLayer(layer, dtype, xp) for layer in _numbered("h_s", frozen)]
    self._contexts = []
    if frozen.config.parts.context:
      few_rows = all(one.has_few_rows for one in self.schedule.passes)
      parts = range(self.schedule.slices)
      self._contexts = [_Context(frozen, part, dtype, xp, few_rows) for part in parts]
    self._thresholds = None
    if frozen.thresholds is not None:
      self._thresholds = xp.constant(frozen.thresholds, "float64")
    self.unit = 1.0 / frozen.y_step
    self.input_sizes = self._contexts[0].input_sizes if self._contexts else (0, 0)

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
      makes_parameters = layer is self._h_s[-1] and not self._contexts
      x = layer(_patches(fixed_point.split(x), polyphase_support(support, up)))
      x = self._last(x) if makes_parameters else fixed_point.saturate(x)
      x = xp.reshape(x, [1, shape[0], shape[1], x.shape[-1]])
      x = (x if up == 1 else xp.depth_to_space(x, up))[0]
    x = x[:height, :width]
    return xp.reshape(x, [height * width, x.shape[-1]])

  def prepare(self, psi: Any, part: int = 0) -> Any:
    """Prepares psi for `parameters`: [n, channels] 16-bit integers -> [n, ...].

    Args:
      psi: from `psi`, at n positions.
      part: the slice of channels.
    """
    psi = self._xp.cast(psi, "float32")
    return self._contexts[part].prepare(psi) if self._contexts else psi

  def split(self, y_hat: Any) -> Any:
    """Splits ŷ for `parameters`: [n, M] int16-valued -> [2, n, M] float32."""
    return fixed_point.split(y_hat)

  def parameters(self, prepared: Any, neighbours: Optional[Any], part: int = 0) -> tuple[Any, ...]:
    """Entropy parameters of the latents of a slice at n positions; C is M / slices.

    Args:
      prepared: [n, ...] from `prepare`.
      neighbours: [2, n, taps C], parts of ŷ at the taps of the mask, or None without context.
      part: the slice of channels.

    Returns:
      mean [n, C] float32, int16-valued, in units of `y_step`, and table index [n, C] int32: the
      index of the scale, or for the factorized prior the channel. For a mixture of K densities
      logits in units of `LOGIT_STEP`, means and indices of scales, each [n, K, C].
    """
    xp, m = self._xp, self._config.latent_channels // self.schedule.slices
    shape = xp.stack([xp.shape(prepared)[0], m])
    if not self._config.parts.is_conditional:
      return xp.zeros(shape, xp.float32), xp.broadcast_to(xp.range(m), shape)
    features = prepared
    if self._contexts:
      features = self._last(self._contexts[part](prepared, neighbours))
    if self._config.components > 1:
      groups = xp.reshape(features, [-1, 3, self._config.components, m])
      index = xp.clip_by_value(groups[:, 2], 0, cfg.NUM_SCALES - 1)
      return groups[:, 0], groups[:, 1], index
    mean = features[:, :m] if self._config.parts.means else xp.zeros(shape, xp.float32)
    index = xp.clip_by_value(features[:, -m:], 0, cfg.NUM_SCALES - 1)
    return mean, xp.cast(index, xp.int32)

  def _last(self, x):
    """Outputs of the last layer [n, channels] -> means, if any, and scale indices, float32."""
    if self._thresholds is None:
      return fixed_point.saturate(x)
    xp, m = self._xp, self._config.latent_channels // self.schedule.slices
    scale = xp.round(x[:, -m:])
    index = xp.searchsorted(self._thresholds, xp.reshape(scale, [-1]))
    index = xp.cast(xp.reshape(index, xp.shape(scale)), xp.float32)
    return xp.concat([fixed_point.saturate(x[:, :-m]), index], 1)


def layers_of_a_step(frozen: FrozenPrior, part: int = 0) -> dict[str, FixedLayer]:
  """The layers that each step of the autoregressive loop evaluates: "g_cm", "g_ep/0", ...

  The first layer of g_ep has only the weights of phi, the output of g_cm: the sums over psi do not
  depend on the step.

  Args:
    frozen: the integer prior.
    part: the slice of channels.
  """
  if not frozen.config.parts.context:
    return {}
  g_cm, g_ep = (slice_name(name, part, frozen.order.slices) for name in ("g_cm", "g_ep"))
  layers = {g_cm: frozen.layers[g_cm], f"{g_ep}/0": _halves(frozen, part)[1]}
  layers.update({f"{g_ep}/{i}": layer for i, layer in enumerate(_numbered(g_ep, frozen)) if i})
  return layers


def _halves(frozen, part):
  """The first layer of g_ep as two: for psi, and for phi."""
  g_cm, g_ep = (slice_name(name, part, frozen.order.slices) for name in ("g_cm", "g_ep"))
  first = frozen.layers[f"{g_ep}/0"]
  halves = np.split(first.weights, [-frozen.layers[g_cm].bias.size])
  return [dataclasses.replace(first, weights=half) for half in halves]


class _Context:
  """g_cm and g_ep of a slice of channels.

  Attributes:
    input_sizes: channels of psi, and numbers in the neighbours of a position.
  """

  def __init__(self, frozen, part, dtype, xp, few_rows):
    # Sums of the first layer over psi are computed for all positions at once.
    self._of_psi = CompiledLayer(_halves(frozen, part)[0], dtype, xp)
    self._g_cm, self._first, *self._others = [
      CompiledLayer(layer, dtype, xp, few_rows) for layer in layers_of_a_step(frozen, part).values()
    ]
    self.input_sizes = self._of_psi.fan_in, self._g_cm.fan_in

  def prepare(self, psi):
    return self._of_psi.sums(fixed_point.split(psi))

  def __call__(self, prepared, neighbours):
    phi = _rounded(self._g_cm(neighbours))
    features = self._first.activate(self._first.products(phi) + prepared)
    for layer in self._others:
      features = layer(_rounded(features))
    return features


def _rounded(x: Any) -> Any:
  """Outputs of a layer [n, out] -> parts [2, n, out], the inputs of the next layer."""
  return fixed_point.split(fixed_point.saturate(x))


def _numbered(name: str, frozen: FrozenPrior) -> list[FixedLayer]:
  """The layers of a network, in order."""
  count = sum(key.startswith(f"{name}/") for key in frozen.layers)
  return [frozen.layers[f"{name}/{i}"] for i in range(count)]


def _patches(x: Any, side: int) -> Any:
  """[parts, h, w, C] -> neighbourhoods [parts, h * w, side² C], with zeros outside the image."""
  xp = namespace(x)
  size, margin = xp.shape(x), [side // 2] * 2
  padded = xp.pad(x, [[0, 0], margin, margin, [0, 0]])
  taps = [xp.slice(padded, [0, i, j, 0], size) for i in range(side) for j in range(side)]
  return xp.reshape(xp.concat(taps, -1), [x.shape[0], size[1] * size[2], side**2 * x.shape[-1]])
