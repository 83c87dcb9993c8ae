"""From the trained float prior to the `FrozenPrior` that files are coded with."""

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.frozen_prior import FrozenPrior
from bmshj_minnen.coding.phases import phases
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.entropy.gaussian_conditional import scale_table
from bmshj_minnen.layers.masked_conv import causal_mask
from bmshj_minnen.model import Model

__all__ = ["freeze"]

# Scales are multiples of this, a 7000th of the smallest in the table.
_SCALE_STEP = 2.0**-16
# Means lie on multiples of this or finer, whatever the largest latent.
_COARSEST_MEAN_STEP = 2.0**-4


def freeze(model: Model, images: tf.Tensor) -> FrozenPrior:
  """Rounds the prior of a trained model to integers.

  Args:
    model: a built model.
    images: [B, H, W, 3] in 0..255, typical ones: the largest activations that they cause, times a
      headroom of 4, set the range of the 16-bit activations. Beyond it activations saturate, in
      encoder and decoder alike, which costs bits but never decodability.
  """
  config = model.config
  lambdas = [None]
  if config.gain_lambdas:
    # Both ends of the rates; the latents of the highest are the largest.
    ends = (config.gain_lambdas[0], config.gain_lambdas[-1])
    lambdas = [tf.fill(tf.shape(images)[:1], end) for end in ends]
  y = tf.concat([model.analysis(images, lmbda) for lmbda in lambdas], 0)
  # Without means ŷ is a whole number.
  y_step = 1.0
  if config.prior not in ("factorized", "scale_hyperprior"):
    y_step = min(fixed_point.power_of_two_step(_peak(y)), _COARSEST_MEAN_STEP)
  head = _Head(config, y_step)
  y_hat = tf.round(y)
  phi = model.g_cm(y_hat) if config.has_context else None

  layers: dict[str, fixed_point.FixedLayer] = {}
  tables = []
  psi = None
  if config.has_hyperprior:
    psi, last = _freeze_h_s(model, y, layers)
    tables.append(range_coder.build_tables(model.z_density.coding_prior()))
  if config.has_context:
    # psi and phi enter one matrix product, so they share a step.
    step = fixed_point.power_of_two_step(max(_peak(x) for x in (psi, phi) if x is not None))
    if psi is not None:
      layers["h_s/2"] = fixed_point.freeze_layer(*last, step)
    visible = causal_mask(cfg.CONTEXT_SUPPORT, "A").astype(bool)
    kernel = _flat(model.g_cm.kernel.numpy()[visible])
    layers["g_cm"] = fixed_point.freeze_layer(kernel, model.g_cm.bias.numpy(), y_step, step)
    _freeze_g_ep(model, phi if psi is None else tf.concat([psi, phi], -1), step, head, layers)
  elif config.has_hyperprior:
    layers["h_s/2"] = head.freeze(*last)
  density = model.conditional if model.y_density is None else model.y_density
  tables.append(range_coder.build_tables(density.coding_prior()))
  return FrozenPrior(config, y_step, layers, range_coder.concatenate(tables), _thresholds(config))


def _freeze_h_s(model, y, layers):
  """Adds the first two layers; returns psi, and weights, bias and input step of the third."""
  x, step = model.z_density.uncentered(tf.round(model.hyper_analysis(y))), 1.0
  for i, layer in enumerate(model.h_s.layers):
    x = layer(x)
    weights, bias = layer.kernel.numpy(), layer.bias.numpy()
    if i < 2:
      kernel = phases(weights)
      if i == 0 and model.config.medians:
        kernel = _with_medians(kernel, model.z_density.median.numpy())
      output_step = fixed_point.power_of_two_step(_peak(x))
      layers[f"h_s/{i}"] = fixed_point.freeze_layer(
        _flat(kernel), np.tile(bias, 4), step, output_step, model.config.slope
      )
      step = output_step
  return x[:, : y.shape[1], : y.shape[2]], (_flat(weights), bias, step)


def _with_medians(kernel, median):
  """A kernel whose last input is 1 wherever there is a sample, and adds what the medians do."""
  return np.concatenate([kernel, np.einsum("yxio,i->yxo", kernel, median)[:, :, None]], 2)


def _freeze_g_ep(model, x, step, head, layers):
  """Adds the three layers, whose input x has the given step."""
  for i, layer in enumerate(model.g_ep.layers):
    x = layer(x)
    weights, bias = layer.kernel.numpy(), layer.bias.numpy()
    if i == 2:
      layers[f"g_ep/{i}"] = head.freeze(weights, bias, step)
      break
    output_step = fixed_point.power_of_two_step(_peak(x))
    layers[f"g_ep/{i}"] = fixed_point.freeze_layer(
      weights, bias, step, output_step, model.config.slope
    )
    step = output_step


class _Head:
  """Freezes the layer whose outputs are the means, on the grid of ŷ, and the scales.

  These are indices, or multiples of `_SCALE_STEP`.
  """

  def __init__(self, config, y_step):
    means = 0 if config.prior == "scale_hyperprior" else config.latent_channels
    scales = config.latent_channels
    gain, center, step = cfg.SCALE_INDEX_GAIN, cfg.SCALE_INDEX_CENTER, 1.0
    if config.scale_output == "scale":
      gain, center, step = 1.0, 0.0, _SCALE_STEP
    self._gain = np.repeat([1.0, gain], [means, scales])
    self._center = np.repeat([0.0, center], [means, scales])
    self._step = np.repeat([y_step, step], [means, scales])

  def freeze(self, weights, bias, input_step):
    return fixed_point.freeze_layer(
      weights * self._gain, bias * self._gain + self._center, input_step, self._step
    )


def _thresholds(config):
  """The scales of all tables but the last, in whole `_SCALE_STEP`s, rounded down."""
  if config.scale_output == "index" or config.prior == "factorized":
    return None
  return np.floor(scale_table()[:-1] / _SCALE_STEP).astype(np.int32)


def _peak(x):
  return float(tf.reduce_max(tf.abs(x)))


def _flat(kernel):
  return kernel.reshape(-1, kernel.shape[-1])
