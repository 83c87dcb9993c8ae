"""The check that a frozen prior computes the same as its model.

Freezing knows the layers of `Model`. A model that computes its prior in another way, for example in
a subclass or with another mask, would train well, but files would be coded with another prior.
"""

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.arrays import Arrays
from bmshj_minnen.coding.fixed_point import INT16_MAX
from bmshj_minnen.coding.mixture_symbols import Cumulatives
from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.coding.prior_coder import PriorCoder
from bmshj_minnen.coding.range_coder import RangeCoder
from bmshj_minnen.format.frozen_prior import FrozenPrior, slice_name
from bmshj_minnen.format.mixture_integers import LOGIT_STEP, MASS_BITS
from bmshj_minnen.format.tables import PRECISION
from bmshj_minnen.layers.per_slice import joined, slices_of
from bmshj_minnen.model import Model

__all__ = ["check_codec"]

_SIDE = 64  # Pixels: 4x4 positions of y and one of z are coded in some milliseconds.
# With the networks that ship, integers cause errors of up to 1.3 % of the outputs, and of 0.29
# scale tables, as root mean squares. Wrong functions cause errors as large as the outputs.
_MAX_ERROR = 0.04
_MAX_MEAN_ERROR = 0.05  # In units of ŷ, added to the relative bound.
_MAX_INDEX_ERROR = 0.7
_MAX_MASS_ERROR = 1e-3  # Tables have 16 bits, and the least probability is 2^-16.
_MAX_BITS_ERROR, _FEW_BITS = 0.05, 512.0  # A relative bound, and bits added to it.


def check_codec(model: Model, frozen: FrozenPrior, images: tf.Tensor) -> None:
  """Codes a small image with the frozen prior and compares it with the model.

  Args:
    model: a built model.
    frozen: the result of `freeze` for it.
    images: [B, H, W, 3] in 0..255, typical images; a part of the first is coded.

  Raises:
    ValueError: the entropy parameters differ from the model's (the message names the network), the
      tables are of another density, the decoded latents differ, or the size of the file differs
      from the model's estimate.
  """
  y = model.analysis(images[:1, :_SIDE, :_SIDE])
  z_hat = None
  if model.h_a is not None:
    z_hat = tf.round(model.hyper_analysis(y))
  # Arrays, because graphs for so few latents take longer to make than to run.
  networks = IntegerNetworks(frozen, "float64")
  coder = PriorCoder(frozen, networks, RangeCoder(frozen.tables), Arrays)
  sent_z = np.zeros([0, 0, coder.z_channels]) if z_hat is None else z_hat[0].numpy()
  _check_tables(model, frozen, coder.z_channels)
  payload, y_hat = coder.encode(y[0].numpy(), sent_z)
  _check_parts(model, frozen, networks, tf.round(y), z_hat)
  decoded, decoded_z, is_whole = coder.decode(payload, *y.shape[1:3])
  same = np.array_equal(decoded, y_hat) and (z_hat is None or np.array_equal(decoded_z, sent_z))
  if not (same and is_whole):
    raise ValueError("the entropy coder does not give back the latents of a picture")
  y_hat = tf.constant(y_hat[None])
  if not _saturates(model, frozen, networks, y_hat, z_hat):
    _check_size(model, payload, y_hat, z_hat)


def _saturates(model, frozen, networks, y_hat, z_hat):
  """Whether latents that are rounded in turn lead beyond the range of the integers.

  An untrained context model may amplify its own errors. Such files are large, but decode.
  """
  try:
    _check_parts(model, frozen, networks, y_hat, z_hat)
  except ValueError:
    return True
  return False


def _check_parts(model, frozen, networks, y_hat, z_hat):
  """Compares the networks one after another; the error names the first that differs."""
  if model.y_density is not None:
    return
  height, width, channels = y_hat.shape[1:]
  psi = None
  fixed_psi = networks.psi(None if z_hat is None else z_hat[0].numpy(), height, width)
  if z_hat is not None:
    psi = model.hyper_synthesis(z_hat, tf.shape(y_hat))
  if model.g_cm is not None and psi is not None:
    _check_network("h_s", fixed_psi, psi)
  parameters, slices = [], frozen.order.slices
  for part, g_cm in enumerate(slices_of(model.g_cm) or [None]):
    neighbours = None
    if g_cm is not None:
      seen = _neighbours(frozen, y_hat[0].numpy(), part)
      name = slice_name("g_cm", part, slices)
      layer = frozen.layers[name]
      phi = (seen @ layer.weights + layer.bias) * layer.scale
      _check_network(name, phi, g_cm(y_hat))
      neighbours = networks.split(seen)
    parameters.append(networks.parameters(networks.prepare(fixed_psi, part), neighbours, part))
  *logits, mean, scale = (
    tf.reshape(x, [height * width, *x.shape[3:]]).numpy() for x in model.parameters(psi, y_hat)
  )
  name = "h_s" if model.g_ep is None else "g_ep"
  *fixed_logits, fixed_mean, fixed_index = (
    np.asarray(joined(x, channels)) for x in zip(*parameters)
  )
  for fixed, logit in zip(fixed_logits, logits):
    logit = np.clip(logit / LOGIT_STEP, -INT16_MAX - 1, INT16_MAX) * LOGIT_STEP
    if not _rms(fixed * LOGIT_STEP - logit) <= _MAX_ERROR * _rms(logit) + _MAX_MEAN_ERROR:
      raise ValueError(_difference(name, "weights"))
  limit = INT16_MAX * frozen.y_step
  limited = np.clip(mean, -limit - frozen.y_step, limit)
  if not _rms(fixed_mean * frozen.y_step - limited) <= _mean_bound(limited):
    raise ValueError(_difference(name, "means"))
  if not _rms(limited - mean) <= _mean_bound(limited):
    raise ValueError(
      f"files would be another model's: the means of {name} reach {np.abs(mean).max():.0f}, but "
      f"entropy coding limits them to {limit:.0f}; train the model longer, or at a lower learning "
      "rate"
    )
  table = np.log(model.conditional.scales)
  index = np.interp(np.log(scale), table, np.arange(cfg.NUM_SCALES))
  if not _rms(fixed_index - index) <= _MAX_INDEX_ERROR:
    raise ValueError(_difference(name, "scales"))


def _mean_bound(mean):
  return _MAX_ERROR * _rms(mean) + _MAX_MEAN_ERROR


def _check_network(name, fixed, expected):
  """Compares outputs up to their unit, for which the best power of two is taken."""
  fixed, expected = (np.reshape(x, -1).astype(np.float64) for x in (fixed, expected))
  if not fixed.any():
    same = _rms(expected) < 1e-3
  else:
    unit = abs(fixed @ expected) / (fixed @ fixed)
    unit = 2.0 ** np.round(np.log2(unit)) if unit else 0.0
    same = _rms(unit * fixed - expected) <= _MAX_ERROR * _rms(expected) + unit
  if not same:
    raise ValueError(_difference(name, "outputs"))


def _difference(name, outputs):
  return (
    f"files would be another model's: the {outputs} of {name} differ from those that the entropy "
    "coder computes from its weights; h_s and g_ep must compute nothing but their layers in turn, "
    "and g_cm must have the mask of its order"
  )


def _neighbours(frozen, y_hat, part):
  """ŷ [h, w, M] -> [h w, taps M / slices] float64 integers at the taps, zeros if not visible."""
  support, (height, width, _) = frozen.config.context_support, y_hat.shape
  half, (rows, columns) = support // 2, frozen.order.period
  masks = frozen.order.masks(support, part)
  at = np.arange(height)[:, None] % rows, np.arange(width) % columns
  slices = y_hat.reshape(height, width, frozen.order.slices, -1) / frozen.y_step
  padded = np.pad(slices, [(half, half), (half, half), (0, 0), (0, 0)])
  seen = [
    padded[row : row + height, column : column + width, of]
    * masks[:, :, row, column, of][at][..., None]
    for row, column, of in np.argwhere(masks.any((0, 1)))
  ]
  seen = np.concatenate([np.zeros([height, width, 0]), *seen], -1)
  return seen.reshape(height * width, seen.shape[-1]).astype(np.float64)


def _check_tables(model, frozen, first):
  """Compares the probabilities of all values in the tables of y with the model's density."""
  if model.y_density is not None:
    return
  if frozen.mixture is not None:
    _check_mixture(model, frozen)
    return
  of_table, tables = np.cumsum(frozen.tables.escape + 3)[:-1], frozen.tables
  values, masses, scales = [], [], []
  for i, cdf in list(enumerate(np.split(tables.cdf, of_table)))[first:]:
    masses.append(np.diff(cdf[1:-1]) / 2**PRECISION)
    values.append(tables.offset[i] + np.arange(tables.escape[i]))
    scales.append(np.full(tables.escape[i], model.conditional.scales[i - first]))
  values, masses, scales = map(np.concatenate, (values, masses, scales))
  bits = model.conditional.bits(np.float32(values), 0.0, np.float32(scales))
  _check_masses(model, bits, masses)


def _check_mixture(model, frozen):
  """Compares the integer masses of whole numbers with the model's, for two components."""
  values, scales = np.arange(-40, 41), np.arange(len(model.conditional.scales))
  shape = [len(values), 2, len(scales)]
  logits, means, index = np.broadcast_arrays(
    np.array([0.0, -1.0])[:, None], np.array([0.25, -0.75])[:, None], scales, np.zeros(shape)
  )[:3]
  cumulatives = Cumulatives(frozen, Arrays)
  prepared = cumulatives.prepare(logits / LOGIT_STEP, np.round(means / frozen.y_step), index)
  number = np.repeat(values, len(scales))
  mass = cumulatives.below(prepared, number + 1) - cumulatives.below(prepared, number)
  mass = np.reshape(mass / np.sum(prepared[0], 0) / 2**MASS_BITS, [-1, len(scales)])
  given = (np.float32(x) for x in (logits, means, model.conditional.scales[index]))
  y_hat = np.broadcast_to(np.float32(values)[:, None], mass.shape)
  _check_masses(model, model.conditional.bits(y_hat, *given), mass)


def _check_masses(model, bits, masses):
  if not np.abs(2.0 ** -bits.numpy() - masses).max() <= _MAX_MASS_ERROR:
    raise ValueError(
      "files would be another model's: the entropy coder has tables of another density than "
      f"{model.config.density!r}, with which the model estimates"
    )


def _check_size(model, payload, y_hat, z_hat):
  rate = model.rate(y_hat, z_hat)
  estimate = float(rate.y_bits[0] + rate.z_bits[0])
  bits = 8.0 * len(payload)
  if not abs(bits - estimate) <= _MAX_BITS_ERROR * estimate + _FEW_BITS:
    raise ValueError(
      f"files would be another model's: a picture takes {bits:.0f} bits where the model estimates "
      f"{estimate:.0f}; the entropy coder has tables of another density"
    )


def _rms(x):
  return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
