"""The five priors, their rates by hand, the loss, and weights as arrays."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen import config, metrics
from bmshj_minnen.layers import quantizers
from bmshj_minnen.losses import losses
from bmshj_minnen.model import Model, Rate
from bmshj_minnen.model_files import weights

_PARTS = {
  "factorized": {"g_a", "g_s", "y_density"},
  "scale_hyperprior": {"g_a", "g_s", "h_a", "h_s", "z_density"},
  "mean_scale_hyperprior": {"g_a", "g_s", "h_a", "h_s", "z_density"},
  "autoregressive": {"g_a", "g_s", "g_cm", "g_ep"},
  "joint": {"g_a", "g_s", "h_a", "h_s", "z_density", "g_cm", "g_ep"},
}
_HYPER_PRIORS = ("scale_hyperprior", "mean_scale_hyperprior", "joint")
_GAUSSIAN_PRIORS = (*_HYPER_PRIORS, "autoregressive")

all_priors = pytest.mark.parametrize("prior", list(_PARTS))


def _photographs(batch=2, height=32, width=48, seed=0):
  """Images [batch, height, width, 3] float32 in 0..255, smooth enough to be predictable."""
  coarse = np.random.default_rng(seed).integers(0, 256, [batch, height // 8, width // 8, 3])
  return np.kron(coarse, np.ones([1, 8, 8, 1])).astype(np.float32)


def _seed(n):
  return tf.constant([n, 0], tf.int32)


def _latents(prior, height=5, width=6, seed=0):
  """Integers ŷ [h, w, 6] and, with side information, ẑ [h', w', 4]."""
  rng = np.random.default_rng(seed)
  # Small, as random networks would give large values almost no probability.
  y_hat = rng.integers(-1, 2, [height, width, 6]).astype(np.float32)
  z_hat = rng.integers(-1, 2, [-(-height // 4), -(-width // 4), 4]).astype(np.float32)
  return y_hat, z_hat if prior in _HYPER_PRIORS else None


def _rate(model, y_hat, z_hat):
  return model.rate(tf.constant(y_hat[None]), None if z_hat is None else tf.constant(z_hat[None]))


# The wiring.


def test_these_are_all_priors():
  assert list(_PARTS) == list(config.PRIORS)


@all_priors
def test_each_prior_has_its_parts_and_no_other(tiny_model, prior):
  model = tiny_model(prior)
  parts = ("g_a", "g_s", "h_a", "h_s", "g_cm", "g_ep", "z_density", "y_density")
  assert {part for part in parts if getattr(model, part) is not None} == _PARTS[prior]


@all_priors
def test_call_has_the_shapes_of_its_input(tiny_model, prior):
  x_hat, rate = tiny_model(prior)(_photographs(3), seed=_seed(0))
  assert x_hat.shape == (3, 32, 48, 3) and x_hat.dtype == tf.float32
  assert rate.y_bits.shape == rate.z_bits.shape == (3,)
  assert (rate.y_bits.numpy() > 0).all()
  assert ((rate.z_bits.numpy() > 0) == (prior in _HYPER_PRIORS)).all()


@all_priors
def test_the_forward_pass_is_that_of_the_figure(tiny_model, reference, prior):
  """Rate and synthesis use ŷ and ẑ, for any quantizers of y and z."""
  model, y = tiny_model(prior), tf.constant(_latents(prior)[0][None])
  seen = {}

  def quantize_y(y, mean_of):
    seen.update(y=y, y_hat=y + 1, mean_of=mean_of)
    return seen["y_hat"]

  def quantize_z(z):
    seen.update(z=z, z_hat=z - 1)
    return seen["z_hat"]

  x_hat, rate = model.forward(y, None, quantize_y, quantize_z)
  np.testing.assert_array_equal(seen["y"], y)
  np.testing.assert_array_equal(x_hat, model.synthesis(y + 1))
  assert ("z" in seen) == (prior in _HYPER_PRIORS)
  z_hat = None
  if prior in _HYPER_PRIORS:
    np.testing.assert_array_equal(seen["z"], model.hyper_analysis(y))
    z_hat = seen["z_hat"]
  for actual, expected in zip(rate, model.rate(y + 1, z_hat)):
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
  assert (seen["mean_of"] is None) == (prior == "factorized")
  if prior != "factorized":
    context = _latents(prior, seed=3)[0]
    mean, _ = reference(model).mean_and_scale(context, None if z_hat is None else z_hat[0].numpy())
    np.testing.assert_allclose(seen["mean_of"](context[None])[0], mean, rtol=1e-4, atol=1e-4)


def _outputs_of(model, y_hat, z_hat):
  return [model.synthesis(y_hat), *model.rate(y_hat, z_hat)]


def _assert_close(actual, expected):
  for one, other in zip(tf.nest.flatten(actual), tf.nest.flatten(expected)):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())


@all_priors
def test_training_has_noise_in_rate_context_and_synthesis(tiny_model, prior):
  model, x, z_tilde = tiny_model(prior), _photographs(), None
  y = model.analysis(x)
  y_tilde = quantizers.additive_noise(_seed(1), 0)(y)
  if prior in _HYPER_PRIORS:
    z_tilde = quantizers.additive_noise(_seed(1), 1)(model.hyper_analysis(y))
  _assert_close(model(x, seed=_seed(1)), _outputs_of(model, y_tilde, z_tilde))


@all_priors
def test_validation_codes_symbols_around_the_mean(tiny_model, reference, prior):
  model, x, z_hat, mean = tiny_model(prior), _photographs(1, 64, 64), None, 0
  y = model.analysis(x)
  if prior in _HYPER_PRIORS:
    z_hat = np.round(model.hyper_analysis(y))
  if prior != "factorized":
    mean, _ = reference(model).mean_and_scale(np.round(y[0]), None if z_hat is None else z_hat[0])
  y_hat = (np.round(y - mean) + mean).astype(np.float32)
  _assert_close(model.forward_rounded(x), _outputs_of(model, y_hat, z_hat))
  # Means, where there are any, are not whole numbers.
  assert (np.abs(y_hat - np.round(y_hat)).max() > 0.1) == (
    prior not in ("factorized", "scale_hyperprior")
  )


@all_priors
def test_the_end_of_training_has_values_of_validation_and_gradients_of_a_decoder(tiny_model, prior):
  """Layers before the rounding get no gradient, and ŷ and ẑ are constants for layers after it."""
  model, x = tiny_model(prior), tf.constant(_photographs(1, 64, 64))
  variables = model.trainable_variables
  before_rounding = [part for part in (model.g_a, model.h_a) if part is not None]
  encoder = {v.ref() for part in before_rounding for v in part.trainable_variables}

  def gradients(forward):
    with tf.GradientTape() as tape:
      outputs = forward()
      loss = losses(x, *outputs, 0.01, "mse").loss
    return outputs, tape.gradient(loss, variables)

  y, z_hat = model.analysis(x), None
  if prior in _HYPER_PRIORS:
    z_hat = tf.constant(np.round(model.hyper_analysis(y)))
  psi = model.hyper_synthesis(z_hat, tf.shape(y))
  y_hat = tf.constant(quantizers.rounding(y, model.mean_of(psi)).numpy())
  outputs, actual = gradients(lambda: model.forward_straight_through(x))
  _assert_close(outputs, model.forward_rounded(x))
  _, expected = gradients(lambda: (model.synthesis(y_hat), model.rate(y_hat, z_hat)))
  for variable, one, other in zip(variables, actual, expected):
    assert (one is None) == (other is None) == (variable.ref() in encoder), variable.name
    if one is not None:
      np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_gains_learn_at_the_end_of_training_from_the_gradient_of_y_hat(build_model):
  model = build_model("joint", gain_lambdas=(0.01, 0.1))
  x, lmbda = tf.constant(_photographs(1, 64, 64)), tf.constant([0.1])
  with tf.GradientTape() as tape:
    loss = losses(x, *model.forward_straight_through(x, lmbda), lmbda, "mse").loss
  actual = tape.gradient(loss, model.gains.log_gain)

  y = model.analysis(x, lmbda)
  z_hat = tf.constant(np.round(model.hyper_analysis(y)))
  psi = model.hyper_synthesis(z_hat, tf.shape(y))
  y_hat = tf.constant(quantizers.rounding(y, model.mean_of(psi)).numpy())
  with tf.GradientTape() as tape:
    tape.watch(y_hat)
    loss = losses(x, model.synthesis(y_hat, lmbda), model.rate(y_hat, z_hat), lmbda, "mse").loss
  # y is g_a(x) times the exponential of the logarithms at the higher λ.
  expected = np.sum(tape.gradient(loss, y_hat) * y, (0, 1, 2))
  scale = np.abs(expected).max()
  assert scale > 0
  np.testing.assert_allclose(
    tf.convert_to_tensor(actual), [0 * expected, expected], atol=1e-3 * scale
  )


@pytest.mark.parametrize("prior", _HYPER_PRIORS)
def test_only_the_scale_hyperprior_ignores_signs(tiny_model, prior):
  model = tiny_model(prior)
  y = tf.constant(_latents(prior)[0][None]) + 0.3
  z, z_of_negative = model.hyper_analysis(y), model.hyper_analysis(-y)
  if prior == "scale_hyperprior":
    np.testing.assert_array_equal(z, z_of_negative)
    rate, negative = (model.rate(s * y, tf.round(model.hyper_analysis(s * y))) for s in (1, -1))
    np.testing.assert_array_equal(rate.y_bits, negative.y_bits)
    np.testing.assert_array_equal(rate.z_bits, negative.z_bits)
  else:
    assert np.abs(z - z_of_negative).max() > 0.1


@pytest.mark.parametrize("prior", ["autoregressive", "joint"])
def test_later_latents_change_no_earlier_parameters(tiny_model, prior):
  model = tiny_model(prior)
  y_hat, z_hat = _latents(prior)
  psi = None if z_hat is None else model.hyper_synthesis(z_hat[None], [1, 5, 6, 6])

  def parameters(y_hat):
    mean, scale = model.parameters(psi, tf.constant(y_hat[None]))
    return np.concatenate([mean[0], scale[0]], -1).reshape(30, -1)

  before = parameters(y_hat)
  for position in range(30):
    changed = y_hat.copy()
    changed[np.unravel_index(position, (5, 6))] += 7
    difference = np.abs(parameters(changed) - before).max(-1)
    assert difference[: position + 1].max() == 0
    assert position == 29 or difference[position + 1 :].max() > 1e-3


@pytest.mark.parametrize("prior", _GAUSSIAN_PRIORS)
def test_rounding_in_turn_is_one_position_after_another(tiny_model, prior):
  model = tiny_model(prior)
  y = np.random.default_rng(3).normal(scale=4, size=(1, 5, 6, 6)).astype(np.float32)
  _, z_hat = _latents(prior)
  psi = model.hyper_synthesis(None if z_hat is None else z_hat[None], [1, 5, 6, 6])
  in_turn = np.zeros_like(y)
  for where in np.ndindex(5, 6):
    mean = model.parameters(psi, tf.constant(in_turn))[0].numpy()
    in_turn[0][where] = np.round(y[0][where] - mean[0][where]) + mean[0][where]
  at_once, one_by_one = (
    np.abs(quantizer(y, model.mean_of(psi)) - in_turn).max()
    for quantizer in (quantizers.rounding, quantizers.in_turn)
  )
  assert one_by_one < 1e-5
  assert (at_once > 1e-3) == (model.g_cm is not None)


# The rate.


@pytest.mark.parametrize("prior", _GAUSSIAN_PRIORS)
@pytest.mark.parametrize("size", [(5, 6), (1, 1), (4, 8)])
def test_y_bits_are_those_of_scipys_normal(tiny_model, reference, prior, size):
  model = tiny_model(prior)
  y_hat, z_hat = _latents(prior, *size)
  mean, scale = reference(model).mean_and_scale(y_hat, z_hat)
  expected = reference.bits(reference.normal_mass(y_hat, mean, scale))
  # If nearly all were at a bound, this would compare constants.
  assert 0.7 < np.mean((expected > 0.01) & (expected < 29))
  np.testing.assert_allclose(_rate(model, y_hat, z_hat).y_bits, [expected.sum()], rtol=1e-4)


@pytest.mark.parametrize("prior", _HYPER_PRIORS)
def test_z_bits_are_those_of_the_learned_density(tiny_model, reference, prior):
  model = tiny_model(prior)
  y_hat, z_hat = _latents(prior)
  expected = reference.bits(reference.factorized_mass(model.z_density, z_hat)).sum()
  np.testing.assert_allclose(_rate(model, y_hat, z_hat).z_bits, [expected], rtol=1e-4)


def test_factorized_bits_are_those_of_the_learned_density(tiny_model, reference):
  model = tiny_model("factorized")
  y_hat, _ = _latents("factorized")
  expected = reference.bits(reference.factorized_mass(model.y_density, y_hat)).sum()
  rate = _rate(model, y_hat, None)
  np.testing.assert_allclose(rate.y_bits, [expected], rtol=1e-4)
  np.testing.assert_array_equal(rate.z_bits, [0])


@all_priors
def test_rate_is_one_number_an_image(tiny_model, prior):
  model = tiny_model(prior)
  pairs = [_latents(prior, seed=seed) for seed in (0, 1)]
  y_hat, z_hat = (None if a[0] is None else tf.stack(a) for a in zip(*pairs))
  together = model.rate(y_hat, z_hat)
  alone = [_rate(model, *pair) for pair in pairs]
  np.testing.assert_allclose(together.y_bits, [rate.y_bits[0] for rate in alone], rtol=1e-5)
  np.testing.assert_allclose(together.z_bits, [rate.z_bits[0] for rate in alone], rtol=1e-5)
  assert alone[0].y_bits[0] != alone[1].y_bits[0]


# The loss.


def test_loss_of_four_pixels_by_hand():
  x = np.full([2, 2, 2, 3], 100, np.uint8)
  x_hat = x.astype(np.float32)
  x_hat[0, 0, 0, 0] -= 6  # 36 / 12 numbers: an MSE of 3 on the scale 0..255.
  x_hat[1] += 1  # An MSE of 1.
  rate = Rate(y_bits=tf.constant([8.0, 4.0]), z_bits=tf.constant([1.0, 3.0]))
  result = losses(x, tf.constant(x_hat), rate, 0.25, "mse")
  assert float(result.y_bpp) == 1.5  # (8 + 4) / 2 bits for 4 pixels.
  assert float(result.z_bpp) == 0.5
  assert float(result.bpp) == 2.0
  assert float(result.distortion) == 2.0
  assert float(result.loss) == 2.5  # 2 + 0.25 · 2.


def test_loss_with_ms_ssim():
  x = _photographs(2, 176, 176)
  x_hat = x + np.random.default_rng(1).normal(0, [[[[5]]], [[[50]]]], x.shape).astype(np.float32)
  bits = 176 * 176 * tf.constant([0.5, 1.5])
  rate = Rate(bits, 2 * bits)
  equal = losses(x, tf.constant(x), rate, 10.0, "ms_ssim")
  assert float(equal.distortion) == pytest.approx(0, abs=1e-6)
  assert float(equal.loss) == pytest.approx(3, abs=1e-4)
  noisy = losses(x, tf.constant(x_hat), rate, 10.0, "ms_ssim")
  expected = np.mean([1 - float(metrics.ms_ssim(a, b)) for a, b in zip(x, x_hat)])
  assert expected > 0.01
  assert float(noisy.distortion) == pytest.approx(expected, abs=1e-5)
  assert float(noisy.loss) == pytest.approx(3 + 10 * expected, abs=1e-3)


@all_priors
def test_every_weight_learns(tiny_model, prior):
  model, x = tiny_model(prior), _photographs(2, 64, 64)
  with tf.GradientTape() as tape:
    result = losses(x, *model(x, seed=_seed(0)), 0.01, "mse")
  variables = model.trainable_variables
  gradients = tape.gradient(result.loss, variables)
  for variable, gradient in zip(variables, gradients):
    assert gradient is not None, variable.name
    assert np.isfinite(gradient).all(), variable.name
    assert np.any(gradient), variable.name


# Weights as arrays.


def _names(prior):
  """Names of the paper's quantities."""
  gdn = ("kernel", "bias", "beta", "gamma")
  layers = {f"{part}/{i}": gdn[: 4 if i < 3 else 2] for part in ("g_a", "g_s") for i in range(4)}
  if prior in _HYPER_PRIORS:
    layers.update({f"{part}/{i}": gdn[:2] for part in ("h_a", "h_s") for i in range(3)})
  if prior in ("autoregressive", "joint"):
    layers.update({"g_cm": gdn[:2], **{f"g_ep/{i}": gdn[:2] for i in range(3)}})
  names = {f"{layer}/{quantity}" for layer, quantities in layers.items() for quantity in quantities}
  for density in _PARTS[prior] & {"y_density", "z_density"}:
    quantities = [f"matrix_{i}" for i in range(3)] + [f"bias_{i}" for i in range(3)]
    names |= {f"{density}/{quantity}" for quantity in [*quantities, "factor_0", "factor_1"]}
  return names


@all_priors
def test_arrays_are_the_papers_quantities(tiny_model, prior):
  model = tiny_model(prior)
  arrays = weights.to_arrays(model)
  assert set(arrays) == _names(prior)
  assert all(array.dtype == np.float32 for array in arrays.values())
  layer = model.g_a.layers[1]
  np.testing.assert_array_equal(arrays["g_a/1/kernel"], layer.kernel)
  np.testing.assert_array_equal(arrays["g_a/1/bias"], layer.bias)
  np.testing.assert_array_equal(arrays["g_a/1/beta"], layer.activation.beta)
  np.testing.assert_array_equal(arrays["g_a/1/gamma"], layer.activation.gamma)


@all_priors
def test_assigned_arrays_make_the_same_model(tiny_model, build_model, prior):
  model, other = tiny_model(prior), build_model(prior, seed=2)
  x = _photographs()
  outputs = [tf.nest.flatten(m(x, seed=_seed(0))) for m in (model, other)]
  assert all(np.abs(a - b).max() > 0.1 for a, b in zip(*outputs) if np.any(a))
  weights.assign(other, weights.to_arrays(model))
  for expected, actual in zip(outputs[0], tf.nest.flatten(other(x, seed=_seed(0)))):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
  again = weights.to_arrays(other)
  for name, array in weights.to_arrays(model).items():
    np.testing.assert_allclose(again[name], array, rtol=1e-5, atol=1e-6, err_msg=name)


@all_priors
@pytest.mark.parametrize("gain_lambdas", [None, (0.01, 0.1)])
def test_a_model_for_refinement_has_the_rates_pictures_and_gradients(
  build_model, prior, gain_lambdas
):
  model = build_model(prior, gain_lambdas=gain_lambdas)
  other = Model(model.config, has_variables=False)
  weights.hold_for_refinement(other, weights.to_arrays(model))
  random = np.random.default_rng(0)
  y, lmbda = tf.constant(random.normal(size=(1, 4, 8, 6)), tf.float32), tf.constant([0.03])
  straight_through = quantizers.straight_through(quantizers.rounding)

  def values(one):
    with tf.GradientTape() as tape:
      tape.watch(y)
      x_hat, rate = one.forward(y, lmbda, straight_through, straight_through)
      total = tf.reduce_sum(tf.sin(x_hat)) + tf.reduce_sum(rate.y_bits + rate.z_bits)
    return [x_hat, rate.y_bits, rate.z_bits, tape.gradient(total, y)]

  for found, value in zip(values(other), values(model)):
    np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-3 * np.abs(value).max())


@pytest.mark.parametrize("prior", ["factorized", "joint"])
def test_arrays_of_another_model_are_refused_by_name(build_model, prior):
  model = build_model(prior)
  arrays = weights.to_arrays(model)
  for name in sorted(arrays)[::3]:
    with pytest.raises(ValueError, match=name):
      weights.assign(model, {other: array for other, array in arrays.items() if other != name})
    with pytest.raises(ValueError, match=name):
      weights.assign(model, {**arrays, name: arrays[name][..., :-1]})
  with pytest.raises(ValueError, match="g_x/kernel"):
    weights.assign(model, {**arrays, "g_x/kernel": np.zeros(1, np.float32)})


def test_other_layers_are_named_by_their_variables(build_model):
  model = build_model("factorized")
  model.g_a.add(tf.keras.layers.BatchNormalization())
  model.g_a(tf.zeros([1, 16, 16, 3]))
  names = {name for name in weights.to_arrays(model) if name.startswith("g_a/4/")}
  assert names == {f"g_a/4/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")}
