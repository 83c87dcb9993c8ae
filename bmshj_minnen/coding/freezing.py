"""Turns a trained float prior into the `FrozenPrior` with which files are coded."""

import math

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point
from bmshj_minnen.entropy.densities import family_of
from bmshj_minnen.format import mixture_integers, orders
from bmshj_minnen.format.frozen_prior import FixedLayer, FrozenPrior, HyperLayer, slice_name
from bmshj_minnen.format.tables import concatenate
from bmshj_minnen.kernels.affine import affine
from bmshj_minnen.kernels.polyphase import polyphase
from bmshj_minnen.layers.per_slice import slices_of
from bmshj_minnen.model import Model

__all__ = ["NotFiniteError", "check", "freeze", "visible_weights"]

# Scales are multiples of this, a 7000th of the smallest in the table.
_SCALE_STEP = 2.0**-16
# Means lie on multiples of this or finer, however large the latents are.
_COARSEST_MEAN_STEP = 2.0**-4


class NotFiniteError(ValueError):
  """A weight or a latent of a model is not finite."""


def freeze(model: Model, images: tf.Tensor) -> FrozenPrior:
  """Rounds the prior of a trained model to integers.

  Args:
    model: a built model.
    images: [B, H, W, 3] in 0..255, typical images: the largest activations that they cause, times a
      headroom of 4, set the range of the 16-bit activations. Beyond it activations saturate in
      encoder and decoder alike; this makes files larger, but they still decode.

  Raises:
    NotFiniteError: an activation is not finite.
    ValueError: entropy coding cannot compute a network, see `check`.
  """
  config = model.config
  y, z_hat = _typical_latents(model, images)
  y_hat, y_step = tf.round(y), _latent_step(model, y, z_hat)
  check(model)
  order = orders.order_of(config.order)
  head = _Head(config, y_step, order.slices)
  layers: dict[str, FixedLayer] = {}
  psi, phis, step = None, [g_cm(y_hat) for g_cm in slices_of(model.g_cm)], None
  if config.parts.hyperprior:
    psi, *last = _freeze_all_but_last_of_h_s(model, z_hat, layers)
    psi = psi[:, : y.shape[1], : y.shape[2]]
  if config.parts.context:
    # psi and phi enter one matrix product, so they share a step.
    step = fixed_point.power_of_two_step(max(_peak(x) for x in (psi, *phis) if x is not None))
  if config.parts.hyperprior:
    frozen = head.freeze(*last) if step is None else fixed_point.freeze_layer(*last, step)
    layers[_last_name("h_s", model.h_s)] = frozen
  if config.parts.context:
    inputs = [phi if psi is None else tf.concat([psi, phi], -1) for phi in phis]
    _freeze_context(model, order, inputs, (y_step, step), head, layers)
  tables, mixture = _coding_tables(model, y_step)
  thresholds, hyper_layers = _thresholds(model), _hyper_layers(model)
  return FrozenPrior(config, y_step, layers, tables, thresholds, hyper_layers, order, mixture)


def check(model: Model) -> None:
  """Refuses networks that entropy coding cannot compute.

  Layers of h_s follow one another: convolutions, transposed ones of `layers` or 1x1 ones, with
  ReLUs, leaky or not. The last layer is linear and keeps the resolution. Layers of g_ep are 1x1.

  Args:
    model: a built model.

  Raises:
    ValueError: a layer has another form; the message names it.
  """
  for name, network in [("h_s", model.h_s), *(("g_ep", one) for one in slices_of(model.g_ep))]:
    if network is None:
      continue
    try:
      parts = [affine(layer) for layer in network.layers]
    except (AttributeError, ValueError) as error:
      raise ValueError(f"{name} cannot be coded with: {error}") from error
    if parts[-1].slope != 1 or parts[-1].up != 1:
      raise ValueError(f"{name} cannot be coded with: its last layer must be linear, of stride 1")
    if name == "g_ep" and any(len(part.kernel) > 1 for part in parts):
      raise ValueError("g_ep cannot be coded with: its layers must be 1x1 convolutions")
    if name == "h_s" and math.prod(part.up for part in parts) != cfg.HYPER_STRIDE:
      raise ValueError(f"h_s cannot be coded with: its strides must make {cfg.HYPER_STRIDE}")


def visible_weights(kernel: np.ndarray, masks: np.ndarray) -> np.ndarray:
  """The weights of g_cm for what is visible.

  Args:
    kernel: [support, support, M, outputs].
    masks: see `orders.Order.masks`.

  Returns:
    [taps * M / slices, outputs]: the taps that are visible anywhere, in raster order, and the
    slices of a tap in their order.
  """
  visible = masks.any((0, 1))
  return _flat(
    kernel.reshape(*visible.shape, kernel.shape[2] // visible.shape[2], kernel.shape[3])[visible]
  )


def _typical_latents(model, images):
  """The latents y [B, h, w, M] at both ends of the rates, and ẑ [B, h', w', N] or None."""
  gain_lambdas = model.config.gain_lambdas
  lambdas = [None]
  if gain_lambdas:
    # The latents of the highest rate are the largest.
    lambdas = [tf.fill(tf.shape(images)[:1], end) for end in (gain_lambdas[0], gain_lambdas[-1])]
  y = tf.concat([model.analysis(images, lmbda) for lmbda in lambdas], 0)
  return y, tf.round(model.hyper_analysis(y)) if model.config.parts.hyperprior else None


def _latent_step(model, y, z_hat):
  """The power of two whose multiples ŷ and the means are, small enough for all of them."""
  peak = _peak(y)
  if not model.config.parts.means:
    return 1.0  # Without means ŷ is a whole number.
  # Means of a badly trained model may exceed all latents. Scales come last.
  means = model.parameters(model.hyper_synthesis(z_hat, tf.shape(y)), tf.round(y))[-2]
  return min(fixed_point.power_of_two_step(max(peak, _peak(means))), _COARSEST_MEAN_STEP)


def _freeze_all_but_last_of_h_s(model, z_hat, layers):
  """`_freeze_all_but_last` for h_s, whose inputs are counted from the medians."""
  medians = model.z_density.median.numpy() if model.config.medians else None
  inputs = model.z_density.uncentered(z_hat)
  return _freeze_all_but_last("h_s", model.h_s, inputs, 1.0, layers, medians)


def _freeze_context(model, order, inputs, steps, head, layers):
  """Freezes g_cm and g_ep of each slice.

  Args:
    model: a built model with a context model.
    order: the order of coding.
    inputs: typical inputs of g_ep, [B, h, w, in] for each slice.
    steps: the values of one unit of ŷ, and of one unit of `inputs`.
    head: freezes the last layer of g_ep.
    layers: receives the integer layers.
  """
  networks = zip(*map(slices_of, (model.g_cm, model.g_ep)), inputs)
  for part, (g_cm, g_ep, x) in enumerate(networks):
    kernel = visible_weights(g_cm.kernel.numpy(), order.masks(model.config.context_support, part))
    name = slice_name("g_cm", part, order.slices)
    layers[name] = fixed_point.freeze_layer(kernel, g_cm.bias.numpy(), *steps)
    name = slice_name("g_ep", part, order.slices)
    _, *last = _freeze_all_but_last(name, g_ep, x, steps[1], layers)
    layers[_last_name(name, g_ep)] = head.freeze(*last)


def _hyper_layers(model):
  """The kernels and strides of h_s; none without side information."""
  parts = map(affine, model.h_s.layers) if model.config.parts.hyperprior else ()
  return tuple(HyperLayer(len(part.kernel), part.up) for part in parts)


def _coding_tables(model, y_step):
  """The tables of z and of y, and the integers of a mixture or None."""
  config, tables, mixture = model.config, [], None
  if config.parts.hyperprior:
    tables.append(model.z_density.coding_tables())
  if config.components > 1:
    mixture = mixture_integers.make(family_of(config).exact_cdf, model.conditional.scales, y_step)
    tables.append(mixture_integers.binary_tables())
  else:
    density = model.conditional if model.y_density is None else model.y_density
    tables.append(density.coding_tables())
  return concatenate(tables), mixture


def _last_name(name, network):
  return f"{name}/{len(network.layers) - 1}"


def _freeze_all_but_last(name, network, x, step, layers, medians=None):
  """Freezes all layers but the last.

  Args:
    name: name of the network.
    network: layers one after another, see `check`.
    x: typical inputs, [B, h, w, in].
    step: the value of one unit of the inputs.
    layers: receives the integer layers.
    medians: [in], the medians from which the inputs are counted, or None.

  Returns:
    The network's outputs, and weights, bias and input step of the last layer.
  """
  for i, layer in enumerate(network.layers):
    x = layer(x)
    kernel, bias, up, slope = affine(layer)
    if up > 1:
      kernel, bias = polyphase(kernel, up).numpy(), np.tile(bias, up**2)
    if i == 0 and medians is not None:
      kernel = _with_medians(kernel, medians)
    if i == len(network.layers) - 1:
      break
    output_step = fixed_point.power_of_two_step(_peak(x))
    layers[f"{name}/{i}"] = fixed_point.freeze_layer(_flat(kernel), bias, step, output_step, slope)
    step = output_step
  return x, _flat(kernel), bias, step


def _with_medians(kernel, median):
  """A kernel that adds the effect of the medians by one more input, 1 inside the image."""
  return np.concatenate([kernel, np.einsum("yxio,i->yxo", kernel, median)[:, :, None]], 2)


class _Head:
  """Freezes the layer whose outputs are the means, in units of `y_step`, and the scales.

  The scales are indices, or in units of `_SCALE_STEP`. Mixtures have logits before them.
  """

  def __init__(self, config, y_step, slices):
    scales = config.components * config.latent_channels // slices
    means = scales if config.parts.means else 0
    logits = config.parameter_channels // slices - means - scales
    gain, center, step = cfg.SCALE_INDEX_GAIN, cfg.SCALE_INDEX_CENTER, 1.0
    if config.scale_output == "scale":
      gain, center, step = 1.0, 0.0, _SCALE_STEP
    sizes = [logits, means, scales]
    self._gain = np.repeat([1.0, 1.0, gain], sizes)
    self._center = np.repeat([0.0, 0.0, center], sizes)
    self._step = np.repeat([mixture_integers.LOGIT_STEP, y_step, step], sizes)

  def freeze(self, weights, bias, input_step):
    return fixed_point.freeze_layer(
      weights * self._gain, bias * self._gain + self._center, input_step, self._step
    )


def _thresholds(model):
  """The scales of all tables but the last, [63] int32 in units of `_SCALE_STEP`, rounded down."""
  if model.config.scale_output == "index" or not model.config.parts.is_conditional:
    return None
  return np.floor(model.conditional.scales[:-1] / _SCALE_STEP).astype(np.int32)


def _peak(x):
  result = float(tf.reduce_max(tf.abs(x)))
  if not math.isfinite(result):  # The maximum of a NaN and numbers is the NaN.
    raise NotFiniteError("the model's activations are not finite")
  return result


def _flat(kernel):
  return kernel.reshape(math.prod(kernel.shape[:-1]), kernel.shape[-1])
