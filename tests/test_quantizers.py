"""Rounding and its replacements in training, against NumPy and against files."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from bmshj_minnen.coding.codec import Latents
from bmshj_minnen.layers import quantizers
from tests import codecs

_SHAPE = (2, 5, 7, 6)


def _y(seed=0):
  # Multiples of 1/64 and means of them are exact in float32.
  return np.random.default_rng(seed).integers(-300, 300, _SHAPE).astype(np.float32) / 64


def _mean_of(y_hat):
  """The mean from a causal context: the left neighbour, and the one above, two to the right."""
  left = tf.pad(y_hat, [[0, 0], [0, 0], [1, 0], [0, 0]])[:, :, :-1]
  above = tf.pad(y_hat, [[0, 0], [1, 0], [0, 2], [0, 0]])[:, :-1, 2:]
  return tf.reverse(left, [-1]) / 2 - above / 4 + 0.375


def _in_raster_order(y):
  """Rounds one position after another, each with only the ŷ before it."""
  y_hat = np.zeros_like(y)
  for image, result in zip(y, y_hat):
    for i, j in np.ndindex(y.shape[1:3]):
      left = result[i, j - 1] if j else 0 * result[0, 0]
      above = result[i - 1, j + 2] if i and j + 2 < y.shape[2] else 0 * result[0, 0]
      mean = left[::-1] / 2 - above / 4 + 0.375
      result[i, j] = np.round(image[i, j] - mean) + mean
  return y_hat


def _seed(run, step):
  return tf.constant([run, step], tf.int32)


# Noise.


def _noise(seed, stream=0, shape=(4, 24, 24, 16)):
  return quantizers.additive_noise(seed, stream)(tf.zeros(shape)).numpy()


def test_noise_is_uniform():
  noise = _noise(_seed(1, 2))
  assert noise.dtype == np.float32 and -0.5 < noise.min() and noise.max() < 0.5
  # Mean 0 and variance 1/12, up to three standard deviations of their estimates.
  assert abs(noise.mean()) < 3 / np.sqrt(12 * noise.size)
  assert abs(noise.var() - 1 / 12) < 3 / np.sqrt(180 * noise.size)
  assert stats.kstest(noise.ravel(), stats.uniform(-0.5, 1).cdf).pvalue > 0.01
  neighbours = np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]
  assert abs(neighbours) < 4 / np.sqrt(noise.size)


def test_noise_is_a_function_of_seed_step_and_stream():
  noise = _noise(_seed(1, 2))
  np.testing.assert_array_equal(noise, _noise(_seed(1, 2)))
  in_graph = tf.function(lambda seed: quantizers.additive_noise(seed, 0)(tf.zeros(noise.shape)))
  np.testing.assert_array_equal(noise, in_graph(_seed(1, 2)))
  others = [
    _noise(_seed(2, 2)),
    _noise(_seed(1, 3)),
    _noise(_seed(1, 2), 1),
    _noise(_seed(1, 1), 1),
  ]
  for other in others:
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(noise.size)


def test_noise_is_added_whatever_the_mean_and_passes_the_gradient():
  y, noise = tf.constant(_y()), quantizers.additive_noise(_seed(0, 0), 0)
  with tf.GradientTape() as tape:
    tape.watch(y)
    noisy = noise(y, _mean_of)
  np.testing.assert_array_equal(noisy, noise(y))
  np.testing.assert_allclose(noisy - y, noise(tf.zeros(_SHAPE)), atol=1e-6)
  np.testing.assert_array_equal(tape.gradient(noisy, y), np.ones(_SHAPE))


# Rounding.


@pytest.mark.parametrize("quantizer", [quantizers.rounding, quantizers.in_turn])
def test_without_means_latents_are_rounded_to_whole_numbers(quantizer):
  np.testing.assert_array_equal(quantizer(tf.constant(_y())), np.round(_y()))


def test_one_pass_has_the_context_of_rounded_latents():
  y = _y()
  mean = _mean_of(tf.constant(np.round(y))).numpy()
  y_hat = quantizers.rounding(tf.constant(y), _mean_of)
  np.testing.assert_array_equal(y_hat, np.round(y - mean) + mean)


def test_each_further_pass_has_the_context_of_the_one_before():
  y, y_hat = _y(), np.round(_y())
  for passes in (1, 2, 3):
    mean = _mean_of(tf.constant(y_hat)).numpy()
    y_hat = np.round(y - mean) + mean
    actual = quantizers.rounding_in_passes(passes)(tf.constant(y), _mean_of)
    np.testing.assert_array_equal(actual, y_hat)


@pytest.mark.parametrize("in_graph", [False, True])
def test_in_turn_is_one_position_after_another(in_graph):
  in_turn = tf.function(quantizers.in_turn) if in_graph else quantizers.in_turn
  y, expected = _y(), _in_raster_order(_y())
  np.testing.assert_array_equal(in_turn(tf.constant(y), _mean_of), expected)
  for seed in range(30):  # With few latents a pass may change only one, upwards or downwards.
    few = _y(seed)[:1, :2, :3, :1]
    np.testing.assert_array_equal(in_turn(tf.constant(few), _mean_of), _in_raster_order(few))
  # One pass is not enough for that, and neither are three.
  for passes in (1, 3):
    assert np.any(quantizers.rounding_in_passes(passes)(tf.constant(y), _mean_of) != expected)


def test_in_turn_ends_though_nothing_settles():
  calls = []

  def restless(y_hat):
    calls.append(None)
    return y_hat + 0.25

  quantizers.in_turn(tf.constant(_y()), restless)
  assert len(calls) == 5 * 7 * 6  # Each latent once, with slices of channels.


@pytest.mark.parametrize("prior", ["joint", "autoregressive"])
def test_in_turn_is_what_a_file_holds(prior, tmp_path):
  """Bit for bit, with the means of the integer networks, and y on their grid."""
  codec, frozen = codecs.make_codec(prior, tmp_path)
  image = codecs.photograph(64, 96)
  _, sent = codec.compress_with_latents(image)
  y, _ = codec.graphs.analyze(tf.constant(image))
  y = tf.round(y / frozen.y_step) * frozen.y_step

  def mean_of(y_hat):
    mean, _ = codecs.frozen_parameters(codec, Latents(y_hat[0].numpy(), sent.z_hat))
    return mean.astype(np.float32).reshape(y_hat.shape)

  np.testing.assert_array_equal(quantizers.in_turn(y[None], mean_of)[0], sent.y_hat)
  assert np.any(quantizers.rounding(y[None], mean_of)[0] != sent.y_hat)


# Gradients.


@pytest.mark.parametrize("mean_of", [None, _mean_of])
def test_straight_through_has_the_values_of_rounding_and_the_gradient_of_y(mean_of):
  y, weight = tf.constant(_y()), _y(seed=1)
  with tf.GradientTape() as tape:
    tape.watch(y)
    y_hat = quantizers.straight_through(quantizers.rounding)(y, mean_of)
    total = tf.reduce_sum(weight * y_hat)
  np.testing.assert_array_equal(y_hat, quantizers.rounding(y, mean_of))
  np.testing.assert_array_equal(tape.gradient(total, y), weight)


def test_rounding_has_no_gradient_but_that_of_the_mean():
  y, shift = tf.constant(_y()), tf.constant(0.125)
  with tf.GradientTape() as tape:
    tape.watch([y, shift])
    y_hat = quantizers.rounding(y, lambda y_hat: tf.zeros_like(y_hat) + shift)
  to_y, to_shift = tape.gradient(y_hat, [y, shift])
  assert to_y is None
  assert to_shift == np.prod(_SHAPE)


# Quantizers for training, by name.


def test_universal_quantization_shifts_the_grid_of_each_image():
  y, weight = tf.constant(_y() * 1.37), _y(seed=1)
  quantize = quantizers.universal(_seed(1, 2), 0)
  with tf.GradientTape() as tape:
    tape.watch(y)
    y_hat = quantize(y, _mean_of)
    total = tf.reduce_sum(weight * y_hat)
  np.testing.assert_array_equal(tape.gradient(total, y), weight)
  np.testing.assert_array_equal(y_hat, quantize(y))
  assert np.abs(y_hat - y).max() <= 0.5 + 1e-5
  # All values of an image lie on whole numbers minus its u, and the images differ in u.
  offsets = np.exp(2j * np.pi * y_hat.numpy().astype(np.float64)).reshape(len(y), -1)
  assert np.abs(offsets - offsets[:, :1]).max() < 1e-3
  assert abs(offsets[0, 0] - offsets[1, 0]) > 0.01
  assert np.any(quantizers.universal(_seed(1, 2), 1)(y) != y_hat)


def test_errors_of_universal_quantization_are_uniform_whatever_the_latent():
  y = np.full((4000, 1, 1, 1), 0.3, np.float32)
  errors = (quantizers.universal(_seed(3, 4), 0)(tf.constant(y)) - y).numpy().ravel()
  assert stats.kstest(errors, stats.uniform(-0.5, 1).cdf).pvalue > 0.01


@pytest.mark.parametrize("in_graph", [False, True])
def test_in_turn_trains_on_the_latents_of_a_file(in_graph):
  def step(y):
    quantize, quantize_z = quantizers.for_training("in_turn", _seed(0, 0))
    with tf.GradientTape() as tape:
      tape.watch(y)
      y_hat = quantize(y, _mean_of)
      total = tf.reduce_sum(2 * y_hat)
    return y_hat, quantize_z(y), tape.gradient(total, y)

  y_hat, z_hat, gradient = (tf.function(step) if in_graph else step)(tf.constant(_y()))
  np.testing.assert_array_equal(y_hat, _in_raster_order(_y()))
  np.testing.assert_array_equal(z_hat, np.round(_y()))
  np.testing.assert_array_equal(gradient, np.full(_SHAPE, 2.0))


def test_names_belong_to_one_quantizer():
  with pytest.raises(ValueError, match="'nobodys': choose one of noise.*import the module"):
    quantizers.for_training("nobodys", _seed(0, 0))
  with pytest.raises(ValueError, match="already"):
    quantizers.register("noise")(lambda seed: (quantizers.rounding, quantizers.rounding))
