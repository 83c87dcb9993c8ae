"""h_s, g_cm and g_ep of a `FrozenPrior`, in exact arithmetic."""

import dataclasses
from typing import Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.fixed_point import CompiledLayer
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.geometry import polyphase_support

__all__ = ["Networks"]


class Networks:
  """h_s, g_cm and g_ep of a `FrozenPrior` in tensors; every number is an integer.

  Attributes:
    unit: 1 / y_step, the distance of neighbouring symbols in units of `y_step`.
    context_support: side of the kernel of g_cm, whose neighbours `parameters` needs; 0 without.
    num_parts: that `split` makes of ŷ.
  """

  num_parts = fixed_point.NUM_PARTS

  def __init__(self, frozen: FrozenPrior, dtype: tf.DType):
    self._config = frozen.config
    fixed = dict(frozen.layers)
    if frozen.config.parts.context:
      # The first layer is linear: psi's part of it can be had for all positions at once.
      first = fixed["g_ep/0"]
      of_psi, of_phi = np.split(first.weights, [-fixed["g_cm"].bias.size])
      self._of_psi = CompiledLayer(dataclasses.replace(first, weights=of_psi), dtype)
      fixed["g_ep/0"] = dataclasses.replace(first, weights=of_phi)
    layers = {
      name: CompiledLayer(layer, dtype, (1, 1) if name.startswith("h_s") else _blocks(layer))
      for name, layer in fixed.items()
    }
    self._h_s = _numbered("h_s", layers)
    self._hyper_layers = frozen.hyper_layers
    self._g_cm = layers.get("g_cm")
    self._g_ep = _numbered("g_ep", layers)
    self._thresholds = None
    if frozen.thresholds is not None:
      self._thresholds = tf.constant(frozen.thresholds, tf.float64)
    self.unit = 1.0 / frozen.y_step
    self.context_support = frozen.config.context_support if self._g_ep else 0

  def psi(self, z_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """h_s: ẑ [h', w', N] -> psi [height * width, channels], raster order, float32 integers.

    Without side information there are no channels.
    """
    if not self._h_s:
      return tf.zeros([height * width, 0])
    x = z_hat
    if self._config.medians:
      x = tf.pad(x, [[0, 0], [0, 0], [0, 1]], constant_values=1)
    for layer, (support, up) in zip(self._h_s, self._hyper_layers):
      shape = tf.shape(x)
      makes_parameters = layer is self._h_s[-1] and not self._g_ep
      x = layer(_patches(fixed_point.split_graph(x), polyphase_support(support, up)))
      x = self._last(x) if makes_parameters else fixed_point.saturate_graph(x)
      x = tf.reshape(x, [1, shape[0], shape[1], x.shape[-1]])
      x = (x if up == 1 else tf.nn.depth_to_space(x, up))[0]
    x = x[:height, :width]
    return tf.reshape(x, [height * width, x.shape[-1]])

  def prepare(self, psi: tf.Tensor) -> tf.Tensor:
    """What `parameters` takes of psi: [n, channels] of 16-bit integers -> [n, ...]."""
    psi = tf.cast(psi, tf.float32)
    return psi if self._g_cm is None else self._of_psi.sums(fixed_point.split_graph(psi))

  def split(self, y_hat: tf.Tensor) -> tf.Tensor:
    """What `parameters` takes of neighbours: [n, M] int16-valued -> [2, n, M]."""
    return fixed_point.split_graph(y_hat)

  def parameters(
    self, prepared: tf.Tensor, neighbours: Optional[tf.Tensor]
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Entropy parameters of n positions.

    Args:
      prepared: [n, ...] of `prepare`.
      neighbours: [2, n, taps M], ŷ at the taps of the causal mask, or None without context.

    Returns:
      mean [n, M] float32, int16-valued, in units of `y_step`, and table index [n, M] int32: of the
      scale, or of the channel for the factorized prior.
    """
    m = self._config.latent_channels
    shape = tf.stack([tf.shape(prepared)[0], m])
    if not self._config.parts.is_conditional:
      return tf.zeros(shape), tf.broadcast_to(tf.range(m), shape)
    features = prepared
    if self._g_cm is not None:
      first, *others = self._g_ep
      phi = _rounded(self._g_cm(neighbours))
      features = first.activate(first.products(phi) + prepared)
      for layer in others:
        features = layer(_rounded(features))
      features = self._last(features)
    mean = features[:, :m] if self._config.parts.means else tf.zeros(shape)
    index = tf.clip_by_value(features[:, -m:], 0, cfg.NUM_SCALES - 1)
    return mean, tf.cast(index, tf.int32)

  def _last(self, x):
    """Outputs of the last layer [n, channels] -> means, if any, and scale indices, float32."""
    if self._thresholds is None:
      return fixed_point.saturate_graph(x)
    m = self._config.latent_channels
    scale = tf.round(x[:, -m:])
    index = tf.searchsorted(self._thresholds, tf.reshape(scale, [-1]))
    index = tf.cast(tf.reshape(index, tf.shape(scale)), tf.float32)
    return tf.concat([fixed_point.saturate_graph(x[:, :-m]), index], 1)


def _blocks(layer):
  """How to cut a layer for the few positions of a step; bounds are where measured times cross."""
  size = layer.weights.size
  return (1, 1) if size > 2**21 else (2, 2) if size > 2**19 else (2, 1)


def _rounded(x: tf.Tensor) -> tf.Tensor:
  """Outputs of a layer -> what the next one takes."""
  return fixed_point.split_graph(fixed_point.saturate_graph(x))


def _numbered(name: str, layers: dict[str, CompiledLayer]):
  """The layers of a network, in order."""
  count = sum(key.startswith(f"{name}/") for key in layers)
  return [layers[f"{name}/{i}"] for i in range(count)]


def _patches(x: tf.Tensor, side: int) -> tf.Tensor:
  """[parts, h, w, C] -> [parts, h * w, side² C], the neighbourhoods, zeros outside."""
  height, width = tf.shape(x)[1], tf.shape(x)[2]
  margin = [side // 2] * 2
  padded = tf.pad(x, [[0, 0], margin, margin, [0, 0]])
  taps = [padded[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
  return tf.reshape(tf.concat(taps, -1), [x.shape[0], height * width, side**2 * x.shape[-1]])
