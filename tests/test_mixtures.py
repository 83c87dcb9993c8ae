"""Mixtures of densities: against SciPy, in integers, and in files."""

import numpy as np
import pytest
from scipy import special, stats

import bmshj_minnen
from bmshj_minnen import config, entropy
from bmshj_minnen.coding import mixture_symbols, tensors
from bmshj_minnen.coding.arrays import Arrays
from bmshj_minnen.coding.range_coder import RangeCoder
from bmshj_minnen.format import mixture_integers
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.tables import MAX_VALUE
from tests import execution, variants

_STEP = 2.0**-5
_SCIPY = {"gaussian": stats.norm, "logistic": stats.logistic}


def _prior(density):
  """A prior that has no networks."""
  model_config = config.ModelConfig("autoregressive", density=density, components=3)
  scales = entropy.Mixture(model_config).scales
  numbers = mixture_integers.make(_SCIPY[density].cdf, scales, _STEP)
  tables = mixture_integers.binary_tables()
  return scales, FrozenPrior(model_config, _STEP, {}, tables, mixture=numbers)


def _parameters(count, seed=0):
  """Random integer logits, means and scale indices, [count, 3, 2]."""
  random = np.random.default_rng(seed)
  logits = random.integers(-200, 200, (count, 3, 2))
  means = np.round(random.normal(0, 4, (count, 3, 2)) / _STEP)
  index = random.integers(0, 45, (count, 3, 2))
  return tuple(np.float32(x) for x in (logits, means, index))


def _masses(density, scales, parameters, y):
  logits, means, index = (x.astype(np.float64) for x in parameters)
  weights, scale = (
    special.softmax(logits * mixture_integers.LOGIT_STEP, 1),
    scales[index.astype(int)],
  )
  cdf, distance = _SCIPY[density].cdf, np.abs(y[:, None] - means * _STEP)
  return (weights * (cdf((0.5 - distance) / scale) - cdf((-0.5 - distance) / scale))).sum(1)


@pytest.mark.parametrize("density", _SCIPY)
def test_bits_and_integer_masses_are_those_of_scipy(density):
  scales, prior = _prior(density)
  parameters = _parameters(500)
  y = np.random.default_rng(1).integers(-12, 13, (500, 2))
  expected = _masses(density, scales, parameters, y)
  assert np.ptp(expected) > 0.5
  logits, means, index = parameters
  given = (logits * mixture_integers.LOGIT_STEP, means * _STEP, scales[index.astype(int)])
  bits = entropy.Mixture(prior.config).bits(np.float32(y), *map(np.float32, given))
  np.testing.assert_allclose(2.0**-bits, np.maximum(expected, 1e-9), rtol=0, atol=2e-6)
  cumulatives = mixture_symbols.Cumulatives(prior, Arrays)
  prepared, number = cumulatives.prepare(*parameters), y.reshape(-1)
  mass = cumulatives.below(prepared, number + 1) - cumulatives.below(prepared, number)
  mass = mass / prepared[0].sum(0) / 2**24
  # Weights are rounded to 1/128 of themselves.
  np.testing.assert_allclose(mass, expected.reshape(-1), rtol=0.01, atol=2e-5)


@pytest.mark.parametrize("density", _SCIPY)
def test_values_come_back_at_the_cost_of_their_information(density):
  scales, prior = _prior(density)
  parameters, random = _parameters(6000), np.random.default_rng(2)
  logits, means, index = parameters
  weights = special.softmax(logits * mixture_integers.LOGIT_STEP, 1)
  chosen = (random.random((6000, 1, 2)) > weights.cumsum(1)).sum(1)[:, None]
  mean, scale = (
    np.take_along_axis(x, chosen, 1)[:, 0] for x in (means * _STEP, scales[index.astype(int)])
  )
  y = np.round(_SCIPY[density].rvs(mean, scale, random_state=3))
  extreme = [[-MAX_VALUE, MAX_VALUE], [0, -300], [1000, 1]]
  y[: len(extreme)] = np.clip(extreme, -1000, 1000)
  data, decoded = _coded(prior, parameters, y)
  np.testing.assert_array_equal(decoded, y)
  ordinary = slice(len(extreme), None)
  masses = _masses(density, scales, [x[ordinary] for x in parameters], y[ordinary])
  information = -np.log2(np.maximum(masses, 2**-20)).sum()
  assert abs(8 * len(data) - information) < 0.004 * information + 6 * 40


def _coded(prior, parameters, y):
  coder, unit = RangeCoder(prior.tables), 1 / _STEP
  cumulatives = mixture_symbols.Cumulatives(prior, Arrays)
  rows = np.arange(len(y))
  encoder = mixture_symbols.MixtureEncoder(cumulatives, coder, unit, 0, np.float32(y * unit))
  handle, sent = encoder(coder.start_encoder(), *parameters, rows)
  data = coder.finish_encoder(handle)
  decoder = mixture_symbols.MixtureDecoder(cumulatives, coder, unit, 0)
  handle, received = decoder(coder.start_decoder(data), *parameters, rows)
  assert coder.finish_decoder(handle) and sent.tobytes() == received.tobytes()
  return data, received * _STEP


def test_tensors_have_the_integers_of_arrays():
  _, prior = _prior("logistic")
  parameters, y = _parameters(300, 5), np.random.default_rng(4).integers(-40, 40, 600)
  results = []
  for xp in (Arrays, tensors):
    cumulatives = mixture_symbols.Cumulatives(prior, xp)
    prepared = cumulatives.prepare(*(xp.constant(x, xp.float32) for x in parameters))
    below = cumulatives.below(prepared, xp.constant(y, xp.int64))
    results.append([np.asarray(x) for x in (prepared, below, cumulatives.center(prepared))])
  for one, other in zip(*results):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  ("prior", "fields"),
  [
    ("mean_scale_hyperprior", {"density": "logistic"}),
    ("joint", {"order": "channel_slices"}),
  ],
)
def test_files_of_mixtures_are_the_models(prior, fields, tmp_path):
  model = variants.trained(prior, steps=75, components=3, **fields)
  has_slices = "order" in fields  # `test_orders` has graphs of slices, which take longer.
  with execution.eagerly(has_slices):
    variants.check(tmp_path, model, refines=not has_slices)


def test_mixtures_that_cannot_be_are_refused():
  for fields in ({"prior": "scale_hyperprior"}, {"scale_output": "scale"}):
    with pytest.raises(ValueError, match="a mixture, of several components, needs"):
      bmshj_minnen.ModelConfig(components=2, **fields)
  with pytest.raises(ValueError, match="components must be 1 to 8, not 9"):
    bmshj_minnen.ModelConfig(components=9)
  for components in (0, 1.5, 2.0, True, "3"):
    with pytest.raises(ValueError, match="components must be a whole number of at least 1, not"):
      bmshj_minnen.ModelConfig(components=components)
