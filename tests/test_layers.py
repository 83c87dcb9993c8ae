"""g_a, g_s, h_a, h_s, g_cm and g_ep against NumPy in float64."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_compression as tfc

import bmshj_minnen
from bmshj_minnen import layers
from bmshj_minnen.format import geometry
from bmshj_minnen.kernels import fourier_kernel, polyphase
from bmshj_minnen.layers.convolutions import PolyphaseConvolution, TransposedConvolution
from bmshj_minnen.layers.precision import precision_policy
from bmshj_minnen.model_files import model_directory, weights

# Relative to the largest output: float32 sums of some hundred products.
_TOLERANCE = 1e-5
_HYPER_PRIORS = ("scale_hyperprior", "mean_scale_hyperprior", "joint")
_SIZES = [(64, 48), (33, 47), (1, 1), (17, 5)]


def _random(shape, scale=1.0):
  return np.random.default_rng(0).normal(0, scale, shape).astype(np.float32)


def _assert_equal(actual, expected):
  assert actual.shape == expected.shape
  np.testing.assert_allclose(actual, expected, rtol=0, atol=_TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("size", _SIZES)
def test_g_a_equals_numpy(tiny_model, reference, size):
  model = tiny_model("joint")
  # Above 1, so that the gammas of the GDNs have as much effect as their betas.
  x = _random((*size, 3), 4)
  _assert_equal(model.g_a(x[None])[0].numpy(), reference(model).g_a(x))


@pytest.mark.parametrize("size", [(4, 3), (1, 1), (2, 5)])
def test_g_s_equals_numpy(tiny_model, reference, size):
  model = tiny_model("joint")
  y_hat = _random((*size, 6), 4)
  _assert_equal(model.g_s(y_hat[None])[0].numpy(), reference(model).g_s(y_hat))


@pytest.mark.parametrize("prior", _HYPER_PRIORS)
@pytest.mark.parametrize("size", [(8, 12), (5, 7), (1, 1), (2, 3)])
def test_h_a_equals_numpy(tiny_model, reference, prior, size):
  model = tiny_model(prior)
  y = _random((*size, 6), 4)
  _assert_equal(model.hyper_analysis(y[None])[0].numpy(), reference(model).h_a(y))


@pytest.mark.parametrize("prior", _HYPER_PRIORS)
@pytest.mark.parametrize("size", [(3, 2), (1, 1)])
def test_h_s_equals_numpy(tiny_model, reference, prior, size):
  model = tiny_model(prior)
  z_hat = _random((*size, 4), 4)
  _assert_equal(model.h_s(z_hat[None])[0].numpy(), reference(model).h_s(z_hat))


@pytest.mark.parametrize("size", [(64, 64), (65, 63), (1, 1), (16, 17), (31, 100)])
def test_strides_are_16_and_4_and_sizes_are_rounded_up(tiny_model, size):
  model = tiny_model("joint")
  y_size = tuple(-(-side // 16) for side in size)
  z_size = tuple(-(-side // 4) for side in y_size)
  y = model.analysis(tf.zeros([1, *size, 3]))
  z = model.hyper_analysis(y)
  assert y.shape == (1, *y_size, 6)
  assert z.shape == (1, *z_size, 4)
  assert model.synthesis(y).shape == (1, 16 * y_size[0], 16 * y_size[1], 3)
  assert model.hyper_synthesis(z, tf.shape(y)).shape == (1, *y_size, 12)


def test_kernels_are_those_of_table_1(tiny_model):
  def shapes(part):
    return [tuple(layer.kernel.shape) for layer in part.layers]

  joint, scale = tiny_model("joint"), tiny_model("scale_hyperprior")  # N = 4, M = 6.
  assert shapes(joint.g_a) == [(5, 5, 3, 4), (5, 5, 4, 4), (5, 5, 4, 4), (5, 5, 4, 6)]
  assert shapes(joint.g_s) == [(5, 5, 6, 4), (5, 5, 4, 4), (5, 5, 4, 4), (5, 5, 4, 3)]
  assert shapes(joint.h_a) == [(3, 3, 6, 4), (5, 5, 4, 4), (5, 5, 4, 4)]
  assert shapes(joint.h_s) == [(5, 5, 4, 6), (5, 5, 6, 9), (3, 3, 9, 12)]
  assert shapes(scale.h_s)[2] == (3, 3, 9, 6)  # Scales alone.
  assert joint.g_cm.kernel.shape == (5, 5, 6, 12)


def test_kernels_are_learned_as_fourier_coefficients(tiny_model):
  model = tiny_model("joint")
  for part in (model.g_a, model.g_s, model.h_a, model.h_s):
    for layer in part.layers:
      assert isinstance(layer.kernel_parameter, tfc.RDFTParameter), layer.name


@pytest.mark.parametrize("shape", [(5, 5, 3, 4), (3, 3, 2, 1), (4, 6, 1, 2)])
def test_fourier_kernel_is_numpys_inverse_transform(shape):
  kernel = _random(shape)
  parameter = fourier_kernel.FourierKernel(kernel)
  np.testing.assert_allclose(parameter(), kernel, atol=1e-6)  # The given kernel.
  parameter.real.assign(_random(parameter.real.shape))
  parameter.imag.assign(_random(parameter.imag.shape)[..., ::-1])
  coefficients = parameter.real.numpy() + 1j * parameter.imag.numpy()
  expected = np.fft.irfft2(coefficients, s=shape[:2], norm="ortho").transpose(2, 3, 0, 1)
  np.testing.assert_allclose(parameter(), expected, atol=1e-6)
  assert parameter(tf.bfloat16).dtype == tf.bfloat16


@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_causal_mask_is_literally_that_of_the_paper(reference, mask_type):
  mask = geometry.causal_mask(5, mask_type)
  assert mask.dtype == np.float32
  np.testing.assert_array_equal(mask, reference.CAUSAL_MASKS[mask_type])


@pytest.mark.parametrize("arguments", [(4, "A"), (5, "C"), (5, "a")])
def test_causal_mask_refuses_what_has_no_centre_or_no_meaning(arguments):
  with pytest.raises(ValueError, match=repr(arguments[0] if arguments[0] == 4 else arguments[1])):
    geometry.causal_mask(*arguments)


def _no_zeros(shape):
  return np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(np.float32)


def _assert_sees_only(function, mask, height=5, width=6, channels=6):
  """Checks that changing ŷ at one position changes outputs exactly where the mask allows it."""
  rng = np.random.default_rng(2)
  y_hat = rng.normal(size=(height, width, channels)).astype(np.float32)
  before = np.asarray(function(y_hat[None])[0])
  for position in np.ndindex(height, width):
    changed = y_hat.copy()
    changed[position] += 10
    difference = np.abs(np.asarray(function(changed[None])[0]) - before).max(-1)
    expected = np.zeros([height, width], bool)
    for output in np.ndindex(height, width):
      tap = np.subtract(position, output) + 2
      expected[output] = tap.min() >= 0 and tap.max() < 5 and mask[tuple(tap)]
    np.testing.assert_array_equal(difference > 1e-4, expected)
    # The causal order itself, in raster order.
    flat = position[0] * width + position[1] + (not mask[2, 2])
    assert difference.ravel()[:flat].max(initial=0) == 0


@pytest.mark.parametrize("mask_type", ["A", "B"])
def test_masked_conv_sees_only_what_is_decoded(reference, mask_type):
  layer = layers.MaskedConv2D(8, geometry.causal_mask(5, mask_type))
  layer(tf.zeros([1, 5, 6, 6]))
  _assert_sees_only(layer, reference.CAUSAL_MASKS[mask_type])
  layer.assign_kernel(_no_zeros(layer.kernel.shape))
  _assert_sees_only(layer, reference.CAUSAL_MASKS[mask_type])
  np.testing.assert_array_equal(
    layer.kernel.numpy() != 0,
    np.broadcast_to(reference.CAUSAL_MASKS[mask_type][:, :, None, None] == 1, layer.kernel.shape),
  )


def test_masked_conv_equals_numpy(build_model, reference):
  model = build_model("joint")
  model.g_cm.assign_kernel(_random(model.g_cm.kernel.shape))
  y_hat = _random((5, 7, 6), 4)
  _assert_equal(model.g_cm(y_hat[None])[0].numpy(), reference(model).g_cm(y_hat))


def test_g_cm_is_of_type_a(tiny_model, reference):
  _assert_sees_only(tiny_model("joint").g_cm, reference.CAUSAL_MASKS["A"])


@pytest.mark.parametrize("prior", ["autoregressive", "joint"])
def test_model_just_loaded_sees_only_what_is_decoded(build_model, reference, tmp_path, prior):
  model = build_model(prior)
  model.g_cm.assign_kernel(_no_zeros(model.g_cm.kernel.shape))
  model_directory.save(model, tmp_path, _random((1, 64, 64, 3)))
  loaded = model_directory.load_model(tmp_path)
  np.testing.assert_array_equal(loaded.g_cm.kernel.numpy(), model.g_cm.kernel.numpy())
  _assert_sees_only(loaded.g_cm, reference.CAUSAL_MASKS["A"])


def test_weights_without_zeros_are_masked_too(build_model, reference):
  model = build_model("joint")
  arrays = weights.to_arrays(model)
  arrays["g_cm/kernel"] = _no_zeros(arrays["g_cm/kernel"].shape)
  weights.assign(model, arrays)
  _assert_sees_only(model.g_cm, reference.CAUSAL_MASKS["A"])


def test_g_ep_has_the_widths_of_table_1():
  g_ep = layers.EntropyParameters(192, tf.nn.relu)
  assert g_ep(tf.zeros([1, 1, 1, 768])).shape == (1, 1, 1, 384)
  assert [tuple(layer.kernel.shape) for layer in g_ep.layers] == [
    (768, 640),
    (640, 512),
    (512, 384),
  ]


@pytest.mark.parametrize("prior", ["autoregressive", "joint"])
def test_g_ep_equals_numpy(tiny_model, reference, prior):
  model = tiny_model(prior)
  features = _random((3, 4, 24 if prior == "joint" else 12), 4)
  _assert_equal(model.g_ep(features[None])[0].numpy(), reference(model).g_ep(features))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("prior", ["mean_scale_hyperprior", "joint"])
def test_latents_pixels_and_means_have_the_digits_of_float32(policy, prior):
  with precision_policy(policy):
    model = bmshj_minnen.Model(bmshj_minnen.ModelConfig(prior, 4, 6))
  y = model.analysis(_random((1, 64, 64, 3), 100))
  z = model.hyper_analysis(y)
  mean, _ = model.parameters(model.hyper_synthesis(z, tf.shape(y)), y)
  for values in (y, z, mean, model.synthesis(y)):
    short = tf.cast(tf.cast(values, tf.bfloat16), tf.float32)
    assert values.dtype == tf.float32 and np.mean(short == values) < 0.1


def test_held_weights_make_the_same_networks(tiny_model):
  model = tiny_model("joint")
  held = model_directory.model_for_coding(model.config, weights.to_arrays(model))
  assert not (held.g_a.variables or held.g_s.variables or held.h_a.variables)
  x, y = _random((1, 48, 32, 3), 4), _random((1, 3, 2, 6), 4)
  for name, source in (("g_a", x), ("g_s", y), ("h_a", y)):
    expected = getattr(model, name)(source).numpy()
    _assert_equal(getattr(held, name)(source).numpy(), expected)


def test_held_weights_of_another_shape_are_named(tiny_model):
  model = tiny_model("joint")
  arrays = weights.to_arrays(model)
  for name in ("g_a/0/kernel", "g_s/1/gamma", "h_a/2/bias"):
    with pytest.raises(ValueError, match=name):
      model_directory.model_for_coding(model.config, {**arrays, name: arrays[name][:-1]})
    with pytest.raises(ValueError, match=name):
      model_directory.model_for_coding(model.config, {k: v for k, v in arrays.items() if k != name})


@pytest.mark.parametrize("name", ["g_s", "h_s"])
def test_images_are_mirrored_once_and_back(tiny_model, name):
  network = getattr(tiny_model("joint"), name)
  turned = []
  for layer in network.layers:
    if isinstance(layer, TransposedConvolution):
      plain = layer(x := _random((1, 3, 2, layer.kernel.shape[2])))
      mirrored = tf.reverse(layer(tf.reverse(x, [1, 2]), mirrored=True), [1, 2])
      np.testing.assert_array_equal(mirrored, plain)
      turned.append(layer)
  source = _random((1, 3, 2, turned[0].kernel.shape[2]))
  graph = tf.function(network).get_concrete_function(source).graph
  # Images are [1, ...]; kernels are turned as well.
  images = [
    op for op in graph.get_operations() if op.type == "ReverseV2" and op.inputs[0].shape[0] == 1
  ]
  inner = [
    op for f in graph._functions.values() for op in getattr(f, "graph", graph).get_operations()
  ]
  assert not inner and len(images) == 2 * 2  # One axis at a time.


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("support", "stride"), [(5, 2), (3, 2), (7, 2), (5, 4), (3, 3)])
def test_phases_are_transposed_convolutions_of_any_stride(support, stride, mirrored):
  kernel, x = _random((support, support, 2, 3)), _random((1, 4, 5, 2))
  side = geometry.polyphase_support(support, stride)
  assert polyphase.polyphase(kernel, stride).shape == (side, side, 2, stride**2 * 3)
  # By definition, sample i contributes through tap t to output stride * i + t - support // 2.
  expected = np.zeros((4 * stride + support, 5 * stride + support, 3))
  for i, j in np.ndindex(4, 5):
    part = np.einsum("c,tuco->tuo", x[0, i, j], kernel)
    expected[stride * i : stride * i + support, stride * j : stride * j + support] += part
  half = support // 2
  expected = expected[half : half + 4 * stride, half : half + 5 * stride]
  x = x[:, ::-1, ::-1] if mirrored else x
  result = tf.nn.conv2d(x, polyphase.polyphase(kernel, stride, mirrored), 1, "SAME")
  result = tf.nn.depth_to_space(result, stride)[0].numpy()
  _assert_equal(result[::-1, ::-1] if mirrored else result, expected.astype(np.float32))


def test_few_outputs_have_a_layer_that_is_the_same_function():
  one, other = TransposedConvolution(3), PolyphaseConvolution(3)
  x = _random((2, 5, 4, 7))
  one(x), other(x)
  other.kernel_parameter.real.assign(one.kernel_parameter.real)
  other.kernel_parameter.imag.assign(one.kernel_parameter.imag)
  _assert_equal(other(x).numpy(), one(x).numpy())
