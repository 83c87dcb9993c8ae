"""Laws of rates: training against evaluation, integers against floats, files against estimates."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.command_line import verbose
from bmshj_minnen.data import finding
from bmshj_minnen.entropy import GaussianConditional
from bmshj_minnen.model_files import model_directory
from tests import codecs

pytestmark = pytest.mark.usefixtures("module_eagerly")
_CONDITIONAL = [prior for prior, parts in config.PRIORS.items() if parts.is_conditional]


@functools.cache
def _model(prior):
  """An untrained model whose latents are neither all zero nor outside the tables."""
  model = codecs.make_model(prior, seed=3)
  for layer in [model.g_a.layers[-1]] + ([model.h_a.layers[-1]] if model.h_a else []):
    for part in (layer.kernel_parameter.real, layer.kernel_parameter.imag):
      part.assign(part / 20)  # `make_model` enlarges these layers.
  model.g_a.layers[-1].bias_parameter.assign(np.linspace(-1.6, 1.6, codecs.M))
  return model


@pytest.fixture(scope="module")
def coded(tmp_path_factory):
  """Prior -> the model, its codec, and a photograph's file with its latents."""

  @functools.cache
  def get(prior):
    folder, image = tmp_path_factory.mktemp(prior), codecs.photograph(288, 320)
    model_directory.save(_model(prior), folder, tf.constant(image[None, :128, :128]))
    codec = bmshj_minnen.load(folder)
    return _model(prior), codec, *codec.compress_with_latents(image)

  return get


@pytest.fixture(scope="module")
def shipped():
  """The shipped codec, its Keras model, and a photograph that it was not trained on."""
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:128, :128]
  return bmshj_minnen.load("default"), bmshj_minnen.load_model("default"), image


@pytest.mark.parametrize("prior", config.PRIORS)
def test_files_are_as_large_as_the_estimate(coded, prior):
  model, _, data, latents = coded(prior)
  assert np.ptp(latents.y_hat) > 2
  estimate = verbose.estimated_bits(model, latents) / 8
  assert estimate > 500
  assert abs(len(data) - estimate) < 0.01 * estimate + 32


def _bits(reference, model, codec, latents):
  """Bits of ŷ with integer parameters and scales of 64 tables, and with the Keras model's."""
  mean, index = codecs.frozen_parameters(codec, latents)
  frozen = mean, 0.11 * (256 / 0.11) ** (index / 63)
  y_hat = latents.y_hat.reshape(mean.shape)
  return (
    reference.bits(reference.normal_mass(y_hat, *parameters)).sum()
    for parameters in (frozen, codecs.float_parameters(model, latents))
  )


@pytest.mark.parametrize("prior", _CONDITIONAL)
def test_freezing_costs_little(coded, reference, prior):
  model, codec, _, latents = coded(prior)
  frozen, floats = _bits(reference, model, codec, latents)
  assert floats > 4000
  # Untrained scales are not optimal, so rounding them changes the bits more.
  assert abs(frozen / floats - 1) < 0.01


def test_freezing_costs_less_in_the_model_that_ships(shipped, reference):
  codec, model, image = shipped
  for quality in (1, 100):
    _, latents = codec.compress_with_latents(image, quality=quality)
    frozen, floats = _bits(reference, model, codec, latents)
    assert abs(frozen / floats - 1) < 0.003


# If y is uniform in the cell that is rounded to ŷ, then y plus noise has a triangular density
# around ŷ. -log p is convex, so by Jensen's inequality it costs at least as much as ŷ.
_AROUND = np.linspace(-1, 1, 21)[1:-1]
_WEIGHTS = (1 - np.abs(_AROUND)) / np.sum(1 - np.abs(_AROUND))


def test_noise_costs_at_least_what_rounding_does():
  scale = tf.constant(np.geomspace(0.2, 200, 30)[:, None], tf.float32)
  y_hat = tf.constant(np.arange(-3, 4) + 0.3, tf.float32)
  conditional, mean = GaussianConditional(), tf.constant(0.3)
  rounded = conditional.bits(y_hat, mean, scale).numpy()
  noisy = sum(
    w * conditional.bits(y_hat + offset, mean, scale).numpy()
    for w, offset in zip(_WEIGHTS, _AROUND)
  )
  is_below_bound = rounded < 10  # The bound of the likelihood is not convex.
  assert is_below_bound.mean() > 0.8
  assert (noisy - rounded)[is_below_bound].min() > -1e-3
  # Twice the information at the centre of a small scale, almost none at large scales.
  assert (noisy - rounded)[0, 3] > 0.1 > (noisy - rounded)[-1].max()


@pytest.mark.parametrize("prior", ["scale_hyperprior", "mean_scale_hyperprior"])
def test_models_estimate_no_less_in_training_than_in_evaluation(coded, prior):
  """With a context, noise also changes the parameters; the inequality does not cover that."""
  model, _, _, latents = coded(prior)
  y_hat, z_hat = latents.y_hat[None], latents.z_hat[None]
  rounded = model.rate(y_hat, z_hat).y_bits[0]
  noisy = sum(
    w * model.rate(y_hat + np.float32(offset), z_hat).y_bits[0]
    for w, offset in zip(_WEIGHTS, _AROUND)
  )
  assert noisy > 1.001 * rounded


def test_the_model_that_ships_trains_on_an_upper_bound(shipped):
  _, model, image = shipped
  lambdas = model.config.gain_lambdas
  for lmbda in (lambdas[0], lambdas[-1]):
    _, rounded = model.forward_rounded(image[None], tf.constant([lmbda]))
    _, noisy = model(image[None], seed=tf.constant([0, 1]), lmbda=tf.constant([lmbda]))
    assert sum(noisy)[0] > sum(rounded)[0]
