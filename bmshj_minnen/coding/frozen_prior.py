"""All that entropy decoding reads, frozen after training: integer networks and tables."""

import dataclasses
import hashlib
import json
from typing import Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.layers.masked_conv import causal_mask
from bmshj_minnen.model import Model

__all__ = ["FrozenPrior", "Networks", "freeze", "phases"]

# Part of the fingerprint: raise it when the order of symbols or the arithmetic changes.
_CODING_VERSION = 1


@dataclasses.dataclass(frozen=True)
class FrozenPrior:
  """The prior of one model as integers.

  Attributes:
    config: of the model.
    y_step: ŷ and mean are multiples of this power of two, at most 1.
    layers: "h_s/0" to "h_s/2", "g_cm", "g_ep/0" to "g_ep/2", as far as the prior has them. Those
      of h_s act on 3x3 patches; strided ones give the 2x2 outputs of a position as channels.
    tables: of z (one a channel, if there is side information), then of y: one a scale, or for the
      factorized prior one a channel.
  """

  config: cfg.ModelConfig
  y_step: float
  layers: dict[str, fixed_point.FixedLayer]
  tables: range_coder.Tables

  def arrays(self) -> dict[str, np.ndarray]:
    """The prior as named arrays, from which `from_arrays` makes it again."""
    arrays = {
      "config": np.asarray(json.dumps(dataclasses.asdict(self.config))),
      "y_step": np.asarray(self.y_step, np.float64),
    }
    for name, part in [*self.layers.items(), ("tables", self.tables)]:
      for field, value in dataclasses.asdict(part).items():
        arrays[f"{name}.{field}"] = np.asarray(value)
    return arrays

  @classmethod
  def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "FrozenPrior":
    """The inverse of `arrays`."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, value in arrays.items():
      if "." in key:
        name, field = key.split(".")
        parts.setdefault(name, {})[field] = value
    tables = range_coder.Tables(**parts.pop("tables"))
    return cls(
      cfg.ModelConfig(**json.loads(str(arrays["config"]))),
      float(arrays["y_step"]),
      {name: fixed_point.FixedLayer(**part) for name, part in sorted(parts.items())},
      tables,
    )

  @property
  def fingerprint(self) -> bytes:
    """4 bytes that tell models apart: a hash of everything above and of the coding version."""
    digest = hashlib.sha256(str(_CODING_VERSION).encode())
    for name, value in sorted(self.arrays().items()):
      # Of the values, not of their machine representation.
      digest.update(f"{name} {value.shape} ".encode())
      digest.update(
        str(value).encode() if value.dtype.kind == "U" else value.astype("<f8").tobytes()
      )
    return digest.digest()[:4]


class Networks:
  """h_s, g_cm and g_ep of a `FrozenPrior` in tensors; every number is an integer.

  Attributes:
    unit: 1 / y_step, the distance of neighbouring symbols on the grid of ŷ.
    has_context: whether `parameters` needs neighbours.
  """

  def __init__(self, frozen: FrozenPrior, dtype: tf.DType):
    self._config = frozen.config
    layers = {name: layer.compile(dtype) for name, layer in frozen.layers.items()}
    self._h_s = [layers[f"h_s/{i}"] for i in range(3) if f"h_s/{i}" in layers]
    self._g_cm = layers.get("g_cm")
    self._g_ep = [layers[f"g_ep/{i}"] for i in range(3) if f"g_ep/{i}" in layers]
    self.unit = 1.0 / frozen.y_step
    self.has_context = frozen.config.has_context

  def psi(self, z_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """h_s: ẑ [h', w', N] -> psi [height * width, channels], raster order, float32 integers.

    Without side information there are no channels.
    """
    if not self._h_s:
      return tf.zeros([height * width, 0])
    x = z_hat
    for i, layer in enumerate(self._h_s):
      shape = tf.shape(x)
      x = fixed_point.saturate(layer(_patches(x)))
      x = tf.reshape(x, [1, shape[0], shape[1], x.shape[-1]])
      x = (x if i == 2 else tf.nn.depth_to_space(x, 2))[0]
    x = x[:height, :width]
    return tf.reshape(x, [height * width, x.shape[-1]])

  def parameters(
    self, psi: tf.Tensor, neighbours: Optional[tf.Tensor]
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Entropy parameters of n positions.

    Args:
      psi: [n, channels].
      neighbours: [n, 12 M], ŷ at the taps of the causal mask, or None without context.

    Returns:
      mean [n, M] float32 on the grid of ŷ, and table index [n, M] int32: of the scale, or of the
      channel for the factorized prior.
    """
    m = self._config.latent_channels
    shape = tf.stack([tf.shape(psi)[0], m])
    if self._config.prior == "factorized":
      return tf.zeros(shape), tf.broadcast_to(tf.range(m), shape)
    features = psi
    if self._g_cm is not None:
      phi = fixed_point.saturate(self._g_cm(neighbours))
      features = tf.concat([psi, phi], -1)
    for layer in self._g_ep:
      features = fixed_point.saturate(layer(features))
    mean = tf.zeros(shape) if self._config.prior == "scale_hyperprior" else features[:, :m]
    index = tf.clip_by_value(features[:, -m:], 0, cfg.NUM_SCALES - 1)
    return mean, tf.cast(index, tf.int32)


def _patches(x: tf.Tensor) -> tf.Tensor:
  """[h, w, C] -> [h * w, 9 C], the 3x3 neighbourhoods, zeros outside."""
  height, width = tf.shape(x)[0], tf.shape(x)[1]
  padded = tf.pad(x, [[1, 1], [1, 1], [0, 0]])
  taps = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
  return tf.reshape(tf.concat(taps, -1), [height * width, 9 * x.shape[-1]])


def freeze(model: Model, images: tf.Tensor) -> FrozenPrior:
  """Rounds the prior of a trained model to integers.

  Args:
    model: a built model.
    images: [B, H, W, 3] in 0..255, typical ones: the largest activations that they cause, times a
      headroom of 4, set the range of the 16-bit activations. Beyond it activations saturate, in
      encoder and decoder alike, which costs bits but never decodability.
  """
  config = model.config
  y = model.analysis(images)
  layers: dict[str, fixed_point.FixedLayer] = {}
  tables = []
  # Without means ŷ is a whole number.
  y_step = 1.0
  if config.prior not in ("factorized", "scale_hyperprior"):
    # A step of at most 2**-4 keeps means useful, whatever the peak.
    y_step = min(fixed_point.power_of_two_step(_peak(y)), 2.0**-4)
  head = _Head(config, y_step)
  psi = phi = None
  if config.has_hyperprior:
    tables.append(range_coder.build_tables(model.z_density.coding_prior()))
    x, step = tf.round(model.hyper_analysis(y)), 1.0
    slope = 0.0 if config.prior == "scale_hyperprior" else cfg.LEAKY_SLOPE
    for i, layer in enumerate(model.h_s.layers):
      x = layer(x)
      weights, bias = layer.kernel.numpy(), layer.bias.numpy()
      if i < 2:
        weights, bias = phases(weights), np.tile(bias, 4)
        output_step = fixed_point.power_of_two_step(_peak(x))
        frozen = fixed_point.freeze_layer(_flat(weights), bias, step, output_step, slope)
        layers[f"h_s/{i}"], step = frozen, output_step
    psi = x[:, : y.shape[1], : y.shape[2]]
    last = (_flat(weights), bias, step)
    if not config.has_context:
      layers["h_s/2"] = head.freeze(*last)
  if config.has_context:
    y_hat = tf.round(y)
    phi = model.g_cm(y_hat)
    # psi and phi enter one matrix product, so they share a step.
    step = fixed_point.power_of_two_step(max(_peak(phi), 0.0 if psi is None else _peak(psi)))
    if psi is not None:
      layers["h_s/2"] = fixed_point.freeze_layer(*last, step)
    visible = causal_mask(cfg.CONTEXT_SUPPORT, "A").astype(bool)
    kernel = model.g_cm.kernel.numpy()[visible]
    layers["g_cm"] = fixed_point.freeze_layer(
      kernel.reshape(-1, kernel.shape[-1]), model.g_cm.bias.numpy(), y_step, step
    )
    x = phi if psi is None else tf.concat([psi, phi], -1)
    for i, layer in enumerate(model.g_ep.layers):
      x = layer(x)
      weights, bias = layer.kernel.numpy(), layer.bias.numpy()
      if i < 2:
        output_step = fixed_point.power_of_two_step(_peak(x))
        layers[f"g_ep/{i}"] = fixed_point.freeze_layer(
          weights, bias, step, output_step, cfg.LEAKY_SLOPE
        )
        step = output_step
      else:
        layers[f"g_ep/{i}"] = head.freeze(weights, bias, step)
  density = model.conditional if model.y_density is None else model.y_density
  tables.append(range_coder.build_tables(density.coding_prior()))
  return FrozenPrior(config, y_step, layers, range_coder.concatenate(tables))


class _Head:
  """Freezes the layer whose outputs are the means, on the grid of ŷ, and the scale indices."""

  def __init__(self, config, y_step):
    means = 0 if config.prior == "scale_hyperprior" else config.latent_channels
    scales = config.latent_channels
    self._gain = np.repeat([1.0, cfg.SCALE_INDEX_GAIN], [means, scales])
    self._center = np.repeat([0.0, cfg.SCALE_INDEX_CENTER], [means, scales])
    self._step = np.repeat([y_step, 1.0], [means, scales])

  def freeze(self, weights, bias, input_step):
    return fixed_point.freeze_layer(
      weights * self._gain, bias * self._gain + self._center, input_step, self._step
    )


def _peak(x):
  return float(tf.reduce_max(tf.abs(x)))


def _flat(kernel):
  return kernel.reshape(-1, kernel.shape[-1])


def phases(kernel: np.ndarray) -> np.ndarray:
  """A 5x5 transposed convolution of stride 2 as a 3x3 one whose outputs are 2x2 positions.

  Output 2 i + p takes input i + d (d = -1, 0, 1) through tap p + 2 - 2 d, where that exists.

  Args:
    kernel: [5, 5, in, out] of `SignalConv2D(corr=False, strides_up=2)`.

  Returns:
    [3, 3, in, 4 out], channels in the order of `tf.nn.depth_to_space`.
  """
  padded = np.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)])  # Tap 5 is the missing one.
  taps = np.array([[4, 2, 0], [5, 3, 1]])  # [phase, d + 1]
  outputs = padded[taps[:, :, None, None], taps[None, None]]  # [py, dy, px, dx, in, out]
  outputs = outputs.transpose(1, 3, 4, 0, 2, 5)
  return outputs.reshape(3, 3, kernel.shape[2], -1)
