"""Densities against SciPy and NumPy, and the range coder against the densities."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen import entropy
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.format.tables import MAX_VALUE, concatenate
from tests import codecs

_SCALES = np.geomspace(0.11, 256, 64)
_MAX_BITS = 29.897352853986263  # -log2(1e-9).
_UNIT = 2**-16  # Unit of the probabilities in tables.


@pytest.fixture(scope="module")
def conditional():
  return entropy.GaussianConditional()


@pytest.fixture(scope="module")
def density():
  """A density of four channels, with random weights."""
  tf.keras.utils.set_random_seed(3)
  layer = entropy.FactorizedDensity(4)
  for variable in layer.density.trainable_variables:
    variable.assign_add(tf.random.normal(variable.shape, stddev=0.3))
  return layer


@pytest.fixture(scope="module")
def normal_tables(conditional):
  return conditional.coding_tables()


@pytest.fixture(scope="module")
def mixed_tables(density, normal_tables):
  """Tables of the channels of `density` (0 to 3) and of the scales (4 to 67)."""
  return concatenate([density.coding_tables(), normal_tables])


def _bits(density, z):
  return density.bits(tf.constant(z, tf.float32)).numpy()


# GaussianConditional.


def test_scale_table_is_log_spaced_from_0_11_to_256(conditional):
  np.testing.assert_allclose(conditional.scales, _SCALES, rtol=1e-12)
  index = np.arange(64, dtype=np.float32)
  np.testing.assert_allclose(conditional.scale(index), _SCALES, rtol=1e-5)
  # Between two scales lies their geometric mean.
  between = conditional.scale(index[:-1] + 0.5)
  np.testing.assert_allclose(between, np.sqrt(_SCALES[:-1] * _SCALES[1:]), rtol=1e-5)


def test_scale_index_is_linear_within_its_bounds(conditional):
  raw = tf.constant([-100.0, -3.75, -1.0, 0.0, 2.0, 12.0, 100.0])
  np.testing.assert_array_equal(conditional.scale_index(raw), [0, 0, 11, 15, 23, 63, 63])


@pytest.mark.parametrize(
  "raw, sign, expected",
  [
    (0.0, 1, 4.0),
    (0.0, -1, -4.0),
    # Beyond a bound only gradients that lead back inside are kept.
    (-100.0, -1, -4.0),
    (-100.0, 1, 0.0),
    (100.0, 1, 4.0),
    (100.0, -1, 0.0),
  ],
)
def test_gradient_of_scale_index_leads_back_inside(conditional, raw, sign, expected):
  raw = tf.constant(raw)
  with tf.GradientTape() as tape:
    tape.watch(raw)
    loss = sign * conditional.scale_index(raw)
  assert tape.gradient(loss, raw).numpy() == expected


@pytest.mark.parametrize("mean", [0.0, 0.3, -7.45])
def test_likelihood_equals_differences_of_the_normal_cdf(conditional, reference, mean):
  mean = np.float32(mean)
  scale = _SCALES.astype(np.float32)
  y_hat = np.arange(-3000, 3001, dtype=np.float32)[:, None]
  actual = conditional.likelihood(tf.constant(y_hat), mean, scale).numpy()
  expected = reference.normal_mass(y_hat, np.float64(mean), scale.astype(np.float64))
  np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-7)
  # The tail keeps its digits down to the smallest float32 numbers.
  tail = expected > 1e-30
  assert tail[:, 0].sum() < 10 and tail[:, -1].sum() > 5000
  np.testing.assert_allclose(actual[tail], expected[tail], rtol=1e-3)


@pytest.mark.parametrize("mean", [0.0, 0.5, 123.4])
def test_likelihood_sums_to_1_over_the_integers(conditional, mean):
  y_hat = np.arange(-4000, 4001, dtype=np.float32)[:, None]
  likelihood = conditional.likelihood(
    tf.constant(y_hat), np.float32(mean), _SCALES.astype(np.float32)
  )
  total = likelihood.numpy().astype(np.float64).sum(0)
  # Float32 rounds ŷ - mean to 1e-5 of the smallest scale.
  np.testing.assert_allclose(total, np.ones(64), atol=1e-4)


def test_bits_are_bounded_and_lead_back(conditional, reference):
  y_hat = tf.constant([0.0, 3.0, 8.0, -8.0, 1000.0])
  mean, scale = tf.Variable(tf.zeros(5)), tf.Variable(tf.ones(5))
  with tf.GradientTape() as tape:
    bits = conditional.bits(y_hat, mean, scale)
  expected = reference.bits(reference.normal_mass(y_hat.numpy(), 0, 1))
  np.testing.assert_allclose(bits, expected, rtol=1e-5)
  np.testing.assert_allclose(bits[2:], [_MAX_BITS] * 3, rtol=1e-6)
  mean_gradient, scale_gradient = tape.gradient(bits, [mean, scale])
  # At the bound descent still moves the mean towards ŷ, and makes the scale larger.
  assert mean_gradient[2] < 0 < mean_gradient[3]
  assert scale_gradient[2] < 0 and scale_gradient[3] < 0


# FactorizedDensity.


def test_factorized_bits_equal_numpy(density, reference):
  z = np.random.default_rng(0).normal(0, 25, [500, 4]).round(2)
  expected = reference.bits(reference.factorized_mass(density, z))
  assert expected.max() < _MAX_BITS - 1 and np.ptp(expected) > 4
  np.testing.assert_allclose(_bits(density, z), expected, rtol=1e-4, atol=1e-4)


def test_factorized_probabilities_sum_to_1_over_the_integers(density):
  z = np.repeat(np.arange(-1000, 1001)[:, None], 4, 1)
  # The bound of 1e-9 adds up to 2e-6.
  np.testing.assert_allclose((2.0 ** -_bits(density, z)).sum(0), np.ones(4), atol=1e-4)


@pytest.mark.parametrize("sign", [-1, 1])
def test_factorized_bits_are_bounded_and_lead_back(density, sign):
  z = tf.Variable(tf.fill([1, 4], 1000.0 * sign))
  with tf.GradientTape() as tape:
    bits = density.bits(z)
  np.testing.assert_allclose(bits, np.full([1, 4], _MAX_BITS), rtol=1e-6)
  gradient = tape.gradient(bits, z).numpy()
  assert (gradient * sign > 0).all()


# The range coder's tables.


def _split(tables):
  """Symbol probabilities of each table, the escape last."""
  probabilities, start = [], 0
  for escape in tables.escape:
    # Each table: the precision, then the cumulative of its symbols and of the escape.
    cumulative = tables.cdf[start + 1 : start + escape + 3]
    assert tables.cdf[start] == 16
    assert cumulative[0] == 0 and cumulative[-1] == 2**16
    probabilities.append(np.diff(cumulative) * _UNIT)
    start += escape + 3
  assert start == len(tables.cdf)
  return probabilities


def _assert_tables_have(tables, mass):
  """Compares with the function `mass` of (table, integers)."""
  for i, probabilities in enumerate(_split(tables)):
    values = tables.offset[i] + np.arange(tables.escape[i])
    expected = mass(i, values)
    assert probabilities.min() >= _UNIT  # Everything can be coded, the escape too.
    # A symbol less likely than the unit is rounded up to it, at the cost of likely symbols; the
    # escape costs one unit more.
    np.testing.assert_allclose(probabilities[:-1], expected, rtol=0, atol=3 * _UNIT)
    assert 1 - expected.sum() < 2 * _UNIT
    assert probabilities[-1] <= 3 * _UNIT


def test_tables_have_the_masses_of_the_normal(normal_tables, reference):
  assert len(normal_tables.offset) == len(normal_tables.escape) == 64
  _assert_tables_have(normal_tables, lambda i, v: reference.normal_mass(v, 0, _SCALES[i]))


def test_tables_have_the_masses_of_the_learned_density(density, reference):
  tables = density.coding_tables()
  assert len(tables.offset) == 4
  _assert_tables_have(
    tables, lambda i, v: reference.factorized_mass(density, np.repeat(v[:, None], 4, 1))[:, i]
  )


@pytest.mark.parametrize("widening", [1, 60])
def test_tables_of_the_learned_density_end_where_its_tails_begin(widening, density, reference):
  wide = entropy.FactorizedDensity(4)
  wide.set_weights(density.get_weights())
  first = next(v for v in wide.density.trainable_variables if "matrix_0" in v.name)
  first.assign(np.log(np.expm1(np.log1p(np.exp(first)) / widening)))
  tables = wide.coding_tables()
  ends = np.stack(
    [tables.offset, tables.offset + 1, *(tables.offset + tables.escape - i for i in (2, 1))]
  )
  below, above = reference.factorized_tails(wide, ends)
  tail = _UNIT / 2
  # The tail begins between a table's first two values, and between its last two.
  assert (below[0] <= 1.001 * tail).all() and (below[1] >= 0.999 * tail).all()
  assert (above[2] >= 0.999 * tail).all() and (above[3] <= 1.001 * tail).all()
  assert widening == 1 or (tables.escape > 3000).all()


def test_tables_follow_the_weights():
  """The making of tables is traced once, and reads the weights anew."""
  layer = entropy.FactorizedDensity(2)
  first = layer.coding_tables()
  np.testing.assert_array_equal(layer.coding_tables().cdf, first.cdf)
  for variable in layer.density.trainable_variables:
    variable.assign_add(tf.ones(variable.shape) / 8)
  other = entropy.FactorizedDensity(2)
  other.set_weights(layer.get_weights())
  changed = layer.coding_tables()
  assert not np.array_equal(changed.cdf, first.cdf)
  np.testing.assert_array_equal(changed.cdf, other.coding_tables().cdf)


def test_concatenate_keeps_every_table(density, normal_tables, mixed_tables):
  learned = density.coding_tables()
  expected = _split(learned) + _split(normal_tables)
  actual = _split(mixed_tables)
  assert len(actual) == 68
  for one, other in zip(actual, expected):
    np.testing.assert_array_equal(one, other)
  np.testing.assert_array_equal(mixed_tables.offset[:4], learned.offset)
  np.testing.assert_array_equal(mixed_tables.offset[4:], normal_tables.offset)


# The range coder.


def _encode(coder, *pushes):
  handle = coder.start_encoder()
  for table, value in pushes:
    handle = coder.push(handle, tf.constant(table, tf.int32), tf.constant(value, tf.int32))
  return coder.finish_encoder(handle).numpy()


def _decode(coder, data, *tables):
  """The values that each table decodes, and whether all bytes were used."""
  handle, values = coder.start_decoder(tf.constant(data)), []
  for table in tables:
    handle, value = coder.pop(handle, tf.constant(table, tf.int32))
    values.append(value.numpy())
  return values, bool(coder.finish_decoder(handle))


def _assert_round_trip(coder, *pushes):
  values, whole = _decode(coder, _encode(coder, *pushes), *(table for table, _ in pushes))
  assert whole
  for actual, (_, expected) in zip(values, pushes):
    np.testing.assert_array_equal(actual, expected)


def test_random_values_come_back(mixed_tables):
  rng = np.random.default_rng(0)
  table = rng.integers(0, 68, 5000)
  value = np.round(rng.standard_cauchy(5000) * 20).clip(-32767, 32767)
  outlier = (value < mixed_tables.offset[table]) | (
    value >= (mixed_tables.offset + mixed_tables.escape)[table]
  )
  assert 500 < outlier.sum() < 4500  # Both ways are taken.
  _assert_round_trip(range_coder.RangeCoder(mixed_tables), (table, value))


def test_edges_of_every_table_come_back(mixed_tables):
  first = mixed_tables.offset
  escape = first + mixed_tables.escape
  edges = [first - 1, first, escape - 1, escape, escape + 1]
  edges += [np.full(68, v) for v in (-32767, -32766, -256, -1, 0, 255, 256, 32766, 32767)]
  table = np.tile(np.arange(68), len(edges))
  _assert_round_trip(range_coder.RangeCoder(mixed_tables), (table, np.concatenate(edges)))
  assert MAX_VALUE == 32767


def test_nothing_comes_back_as_nothing(mixed_tables):
  coder = range_coder.RangeCoder(mixed_tables)
  assert len(_encode(coder)) <= 1
  _assert_round_trip(coder, ([], []))


def test_pushes_come_back_in_their_order(mixed_tables):
  rng = np.random.default_rng(1)
  pushes = [(rng.integers(0, 68, n), rng.integers(-300, 301, n)) for n in (7, 0, 1, 200, 3)]
  _assert_round_trip(range_coder.RangeCoder(mixed_tables), *pushes)


def test_coder_works_in_a_graph(mixed_tables):
  coder = range_coder.RangeCoder(mixed_tables)

  @tf.function
  def decode(data, table):
    handle, value = coder.pop(coder.start_decoder(data), table)
    return value, coder.finish_decoder(handle)

  table, value = np.array([0, 4, 67, 4], np.int32), np.array([1, -1, 500, 9999])
  decoded, whole = decode(tf.constant(_encode(coder, (table, value))), tf.constant(table))
  assert whole
  np.testing.assert_array_equal(decoded, value)


def _assert_length(data, information):
  """Checks the length within half a per cent, and the bytes that a coder flushes at its end."""
  assert abs(8 * len(data) - information) <= 0.005 * information + 32


@pytest.mark.parametrize("scales", [(0, 16), (16, 40), (40, 64)])
def test_length_is_the_information_of_normal_samples(normal_tables, reference, scales):
  rng = np.random.default_rng(2)
  table = rng.integers(*scales, 20000)
  value = np.round(rng.normal(0, _SCALES[table]))
  information = -np.log2(reference.normal_mass(value, 0, _SCALES[table])).sum()
  _assert_length(_encode(range_coder.RangeCoder(normal_tables), (table, value)), information)


def test_length_is_the_information_of_learned_samples(mixed_tables, density, reference):
  values = np.arange(-1000, 1001)
  mass = reference.factorized_mass(density, np.repeat(values[:, None], 4, 1))
  rng = np.random.default_rng(3)
  samples = [rng.choice(2001, 5000, p=mass[:, c] / mass[:, c].sum()) for c in range(4)]
  information = sum(-np.log2(mass[s, c]).sum() for c, s in enumerate(samples))
  table = np.repeat(np.arange(4), 5000)
  data = _encode(range_coder.RangeCoder(mixed_tables), (table, values[np.concatenate(samples)]))
  _assert_length(data, information)


def test_an_outlier_costs_an_escape_and_two_bytes(normal_tables):
  coder = range_coder.RangeCoder(normal_tables)
  table = np.zeros(1000, np.int32)
  value = np.arange(1000, 2000)
  # The escape of the narrowest table has a probability of 2^-16.
  assert abs(len(_encode(coder, (table, value))) - 1000 * (2 + 2)) <= 8


_STRANGE = [
  b"",
  b"\x00",
  b"\xff",
  b"\xff\x80\x00\x00",  # tensorflow-compression's own overflow code reads these endlessly.
  b"\x00" * 1000,
  b"\xff" * 1000,
  *(np.random.default_rng(n).bytes(n) for n in (1, 2, 3, 10, 100, 5000)),
]


@pytest.mark.parametrize("data", _STRANGE, ids=lambda data: f"{len(data)}-{data[:4].hex()}")
def test_any_bytes_end_in_values_of_the_documented_range(mixed_tables, data):
  coder = range_coder.RangeCoder(mixed_tables)
  tables = [np.full(1000, 30), np.arange(1000) % 68, [], np.full(1000, 67)]
  values, _ = codecs.in_time(lambda: _decode(coder, data, *tables))
  for value, table in zip(values, tables):
    assert value.shape == (len(table),)
    assert value.size == 0 or -(2**15) <= value.min() <= value.max() <= 32767
