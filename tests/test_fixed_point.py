"""Exact networks give the same integers as int64 NumPy."""

import fractions

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.coding import fixed_point, tensors
from bmshj_minnen.coding.arrays import Arrays
from bmshj_minnen.coding.fixed_point import CompiledLayer
from bmshj_minnen.format.frozen_prior import FixedLayer
from bmshj_minnen.runtime.graph import Graph

_FAN_IN, _OUT = 12 * 192, 64


def _extreme_layer(generator, slope=256):
  """Weights at the bound of 2**16 per column: equal, alternating, one alone, random."""
  weights = generator.integers(-28, 29, size=(_FAN_IN, _OUT))
  weights[:, 0] = 28
  weights[:, 1] = 28 * (-1) ** np.arange(_FAN_IN)
  weights[:, 2] = 0
  weights[0] += np.where(weights[0] < 0, -1, 1) * (2**16 - np.abs(weights).sum(0))
  assert (np.abs(weights).sum(0) == 2**16).all()
  bias = generator.integers(-(2**40), 2**40, size=_OUT)
  scale = 2.0 ** generator.integers(-30, 3, size=_OUT)
  return FixedLayer(weights.astype(np.int32), bias, scale, slope)


def _split(x):
  return fixed_point.split(tf.constant(x, tf.float32))


def _expected(layer, x):
  """The layer in Python integers and int64."""
  products = x.astype(np.int64) @ layer.weights.astype(np.int64) + layer.bias
  # Python floats of exact ratios: products * scale has at most 53 significant bits.
  scaled = products.astype(np.float64) * layer.scale
  if layer.slope != 256:
    slope = fractions.Fraction(layer.slope)
    negative = (products * slope.numerator).astype(np.float64) / (256 * slope.denominator)
    scaled = np.where(products < 0, negative * layer.scale, scaled)
  return scaled


@pytest.mark.parametrize("slope", [0, 51, 256, 2621 / 2**10, (2**12 - 1) / 2**5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("few_rows", [False, True])
@pytest.mark.parametrize("xp", [tensors, Arrays])
def test_layers_equal_int64_numpy_at_the_extremes(xp, few_rows, dtype, slope):
  generator = np.random.default_rng(1)
  layer = _extreme_layer(generator, slope)
  x = generator.integers(-(2**15), 2**15, size=(33, _FAN_IN))
  # Every partial sum grows monotonically in these rows: the worst case for float32.
  x[0], x[1] = 2**15 - 1, -(2**15)
  x[2] = np.where(layer.weights[:, 3] > 0, 2**15 - 1, -(2**15))
  parts = fixed_point.split(xp.constant(x, "float32"))
  result = CompiledLayer(layer, dtype, xp, few_rows)(parts)
  np.testing.assert_array_equal(result, _expected(layer, x))


def test_float32_would_round_without_the_split():
  # Otherwise the test above could not fail.
  generator = np.random.default_rng(1)
  layer = _extreme_layer(generator)
  x = generator.integers(-(2**15), 2**15, size=(33, _FAN_IN))
  plain = tf.matmul(tf.constant(x, tf.float32), tf.constant(layer.weights, tf.float32)).numpy()
  assert (plain != x @ layer.weights.astype(np.int64)).any()


def test_parts_are_low_bytes_and_multiples_of_256_that_fit_a_signed_byte():
  x = np.arange(-(2**15), 2**15)
  high, low = _split(x).numpy()
  np.testing.assert_array_equal(high, (x >> 8) * 256)
  np.testing.assert_array_equal(low, x & 255)


def test_saturate_rounds_half_to_even_into_16_bits():
  x = tf.constant([-1e9, -32768.6, -2.5, -0.5, 0.5, 1.5, 32766.5, 32767.5, 1e9], tf.float64)
  expected = [-32768, -32768, -2, 0, 0, 2, 32766, 32767, 32767]
  np.testing.assert_array_equal(fixed_point.saturate(x).numpy(), expected)


def test_freezing_stays_within_the_bound_and_close():
  generator = np.random.default_rng(2)
  weights = generator.laplace(size=(_FAN_IN, _OUT)) * 10.0 ** generator.uniform(-6, 2, size=_OUT)
  weights[:, 5] = 0
  weights[:, 6] = 0
  weights[7, 6] = 1.0
  bias = generator.normal(size=_OUT)
  layer = fixed_point.freeze_layer(weights, bias, 2.0**-8, 2.0**-6)
  assert np.abs(layer.weights.astype(np.int64)).sum(0).max() <= 2**16
  mantissa, _ = np.frexp(layer.scale)
  np.testing.assert_array_equal(mantissa, 0.5)  # Powers of two.
  x = generator.integers(-(2**12), 2**12, size=(64, _FAN_IN))
  result = CompiledLayer(layer, "float64", tensors)(_split(x)).numpy() * 2.0**-6
  expected = x * 2.0**-8 @ weights + bias
  error = np.std(result - expected, axis=0) / np.std(expected, axis=0).clip(1e-9)
  assert error[np.arange(_OUT) != 5].max() < 0.05


def test_freezing_survives_huge_biases():
  layer = fixed_point.freeze_layer(np.full((4, 1), 1e-30), np.array([1e30]), 1.0, 1.0)
  assert np.isfinite(CompiledLayer(layer, "float32", tensors)(tf.zeros([2, 1, 4])).numpy()).all()


@pytest.mark.parametrize(
  ("slope", "expected"), [(0.0, 0), (51 / 256, 51), (1.0, 256), (0.01, 2621 / 2**10)]
)
def test_freezing_rounds_slopes_to_12_bits(slope, expected):
  layer = fixed_point.freeze_layer(np.ones((1, 1)), np.zeros(1), 1.0, 1.0, slope)
  assert layer.slope == expected


@pytest.mark.parametrize("peak", [1e-9, 0.3, 1.0, 31.9, 8191.9])
def test_steps_are_the_smallest_powers_of_two_that_reach_the_headroom(peak):
  step = fixed_point.power_of_two_step(peak)
  assert np.frexp(step)[0] == 0.5
  assert step * (2**15 - 1) >= 4 * peak
  assert peak < 1e-6 or step / 2 * (2**15 - 1) < 4 * peak


@pytest.fixture
def probe_anew(monkeypatch):
  """Forgets the result of an earlier probe."""
  monkeypatch.setattr(tensors, "_exact_dtype", tensors._exact_dtype.__wrapped__)


@pytest.mark.usefixtures("probe_anew")
def test_the_probe_accepts_exact_products_and_falls_back_from_inexact_ones(monkeypatch, caplog):
  assert tensors.exact_dtype() == "float32"
  matmul = tf.matmul

  def reduced(a, b):
    """Rounds like TF32: float32 operands keep 10 bits of the mantissa."""
    if a.dtype == "float32":
      a, b = (tf.bitcast(tf.bitcast(x, tf.int32) & -(2**13), tf.float32) for x in (a, b))
    return matmul(a, b)

  monkeypatch.setattr(tensors.tf, "matmul", reduced)
  assert tensors.exact_dtype() == "float64"
  assert "float32 are not exact" in caplog.text
  monkeypatch.setattr(tensors.tf, "matmul", lambda a, b: matmul(a, b) + 1)
  with pytest.raises(RuntimeError, match="cannot be coded here"):
    tensors.exact_dtype()


@pytest.fixture
def bfloat16():
  """Lets TensorFlow turn float32 operands in graphs into bfloat16."""
  option = "auto_mixed_precision_onednn_bfloat16"
  tf.config.optimizer.set_experimental_options({option: True})
  yield
  tf.config.optimizer.set_experimental_options({option: False})


def _in_graph(layer):
  spec = tf.TensorSpec([None, _FAN_IN], tf.float32)
  return Graph(lambda x: layer(fixed_point.split(x)), spec)


@pytest.mark.usefixtures("probe_anew", "bfloat16")
def test_the_probe_sees_mixed_precision_and_what_it_chooses_is_exact(caplog):
  generator = np.random.default_rng(3)
  layer = _extreme_layer(generator)
  x = generator.integers(-(2**15), 2**15, size=(33, _FAN_IN))
  dtype = tensors.exact_dtype()
  result = _in_graph(CompiledLayer(layer, dtype, tensors))(x.astype(np.float32)).numpy()
  np.testing.assert_array_equal(result, _expected(layer, x))
  # Where float32 is not exact, it must not have been chosen.
  plain = _in_graph(CompiledLayer(layer, "float32", tensors))(x.astype(np.float32)).numpy()
  rounds = (plain != _expected(layer, x)).any()
  assert (dtype == "float64") == rounds == ("float32 are not exact" in caplog.text)


def test_each_setting_of_the_optimizer_is_probed_once(monkeypatch):
  probed = []
  monkeypatch.setattr(
    fixed_point, "exact_dtype", lambda *_: probed.append(1) or f"of probe {len(probed)}"
  )
  option = "auto_mixed_precision_onednn_bfloat16"
  tensors._exact_dtype.cache_clear()
  try:
    assert [tensors.exact_dtype() for _ in range(2)] == ["of probe 1"] * 2
    tf.config.optimizer.set_experimental_options({option: True})
    assert tensors.exact_dtype() == "of probe 2"
  finally:
    tf.config.optimizer.set_experimental_options({option: False})
    tensors._exact_dtype.cache_clear()


def test_graphs_of_other_processes_are_exact_under_mixed_precision(bfloat16):
  generator = np.random.default_rng(3)
  layer = _extreme_layer(generator)
  x = generator.integers(-(2**15), 2**15, size=(33, _FAN_IN))
  with tensors.graphs_of_other_processes():
    result = _in_graph(CompiledLayer(layer, "float32", tensors, few_rows=True))(
      x.astype(np.float32)
    ).numpy()
  np.testing.assert_array_equal(result, _expected(layer, x))


def test_graphs_refuse_mixed_precision_that_was_set_after_them():
  graph = Graph(lambda x: x + 1, tf.TensorSpec([], tf.int32))
  option = "auto_mixed_precision_onednn_bfloat16"
  try:
    tf.config.optimizer.set_experimental_options({option: True})
    with pytest.raises(RuntimeError, match="set it first, then load"):
      graph(1)
    assert Graph(lambda x: x + 1, tf.TensorSpec([], tf.int32))(1) == 2
  finally:
    tf.config.optimizer.set_experimental_options({option: False})
  assert graph(1) == 2
