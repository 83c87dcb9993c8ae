"""The codec without TensorFlow against TensorFlow's: the same bytes, latents and pictures."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import portable
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.coding.range_coder import RangeCoder
from bmshj_minnen.config import PRIORS
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.format.tables import MAX_VALUE
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.model_files.codec_files import read_prior
from bmshj_minnen.portable import loading
from tests import codecs, test_foreign_networks

_RATES = {"prior": "joint", "gain_lambdas": (0.002, 0.128)}
_MODELS = {prior: {"prior": prior} for prior in PRIORS}
_MODELS |= {"rates": _RATES, "converted": {"prior": "joint", **codecs.CONVERTED}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """Name of `_MODELS` -> the model's directory, its codec and its prior."""

  @functools.cache
  def get(name):
    folder = tmp_path_factory.mktemp(name)
    codec, prior = codecs.make_codec(folder=folder, **_MODELS[name])
    return folder / _MODELS[name]["prior"], codec, prior

  return get


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
  """Name of `_MODELS` -> the directory of its export."""

  @functools.cache
  def get(name):
    return _export(made(name)[0], tmp_path_factory.mktemp("exports") / "exported")

  return get


@pytest.fixture(scope="module")
def tables():
  return read_prior(loading.catalogue.find("default")).tables


@pytest.mark.parametrize("seed", range(30))
def test_both_range_coders_write_and_read_alike(tables, seed):
  random, coders = np.random.default_rng(seed), (range_coder.RangeCoder(tables), RangeCoder(tables))
  pushes = []
  for _ in range(seed % 4):
    index = random.integers(0, len(tables.offset), random.integers(0, 60)).astype(np.int32)
    scale = random.choice([0.1, 1, 30, MAX_VALUE])
    value = np.clip(np.rint(scale * random.normal(size=len(index))), -MAX_VALUE, MAX_VALUE)
    pushes.append((index, value.astype(np.int32)))
  written = []
  for coder in coders:
    handle = coder.start_encoder()
    for index, value in pushes:
      handle = coder.push(handle, index, value)
    written.append(np.asarray(coder.finish_encoder(handle)).item())
  assert written[0] == written[1]
  # Both read any bytes alike.
  for data in (written[0], written[0][:-1], written[0] + b"\0", random.bytes(40), b"\xff" * 9):
    found = []
    for coder in coders:
      handle, values = coder.start_decoder(data), []
      for index, _ in pushes:
        handle, value = coder.pop(handle, index)
        values.append(np.asarray(value))
      found.append((np.concatenate([[], *values]).tolist(), bool(coder.finish_decoder(handle))))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", [*PRIORS, "converted"])  # Gains are applied outside of the coder.
def test_payloads_are_the_same_and_cross_both_ways(name, made):
  _, codec, prior = made(name)
  coders = codec._coder, LatentCoder(prior, loading.array_coder(prior))
  random = np.random.default_rng(0)
  for size in ((1, 1), (5, 7), (130, 3), (3, 141)):
    y = (5 * random.standard_normal([*size, codecs.M])).astype(np.float32)
    hyper = [-(-side // 4) for side in size]
    z_hat = np.round(3 * random.standard_normal([*hyper, codec._coder._coder.prior.z_channels]))
    (payload, y_hat), other = (coder.encode(y, z_hat.astype(np.float32)) for coder in coders)
    assert other[0] == payload and other[1].tobytes() == y_hat.tobytes()
    for coder in coders:
      received, z_received, whole = coder.decode(payload, *size)
      assert whole and received.tobytes() == y_hat.tobytes()
      np.testing.assert_array_equal(z_received, z_hat)
    # A step with all positions at once, as in graphs.
    at_once = coders[1]._coder.decode(payload, *size)
    assert at_once[0].tobytes() == y_hat.tobytes() and at_once[2]


def test_chains_in_phases_compute_the_same(tiny_model):
  model = tiny_model("joint")
  other = model.g_s.in_phases()
  assert isinstance(other, Chain)
  other.build([1, None, None, 6])
  for layer, source in zip(other.layers, model.g_s.layers):
    layer.kernel_parameter.real.assign(source.kernel_parameter.real)
    layer.kernel_parameter.imag.assign(source.kernel_parameter.imag)
    layer.bias_parameter.assign(source.bias_parameter)
  x = tf.random.stateless_normal([2, 5, 3, 6], [0, 0])
  expected = model.g_s(x).numpy()
  np.testing.assert_allclose(other(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def _export(model, folder):
  pytest.importorskip("tf2onnx")
  from bmshj_minnen.serving import onnx_export

  return onnx_export.export(str(model), folder)


@pytest.mark.parametrize("name", ["scale_hyperprior", "rates", "converted"])
def test_exported_models_code_as_in_tensorflow(name, made, exported):
  _assert_alike(made(name)[1], portable.load(exported(name)))


def test_tensorflow_refuses_exports_in_a_line(exported):
  for load in (bmshj_minnen.load, bmshj_minnen.load_model):
    with pytest.raises(ValueError, match="has no weights of g_a: .*, give the model that was exp"):
      load(exported("scale_hyperprior"))


def _assert_alike(codec, other):
  assert other.fingerprint == codec.fingerprint
  for size in ((1, 1), (70, 33)):
    image = codecs.photograph(*size)
    files = codec.compress_with_latents(image), other.compress_with_latents(image)
    # Rounding of float networks may differ.
    assert np.mean(files[0][1].y_hat != files[1][1].y_hat) < 0.01
    for data, sent in files:
      for reader in (codec, other):
        assert reader.latents(data).y_hat.tobytes() == sent.y_hat.tobytes()
      pictures = [reader.decompress(data).astype(int) for reader in (codec, other)]
      assert np.mean(np.abs(pictures[0] - pictures[1]) > 1) < 0.01


def test_networks_of_ones_own_are_exported(tmp_path):
  test_foreign_networks._train_a_step(tmp_path / "model", networks="test deep patches")
  directory = _export(tmp_path / "model", tmp_path / "exported")
  _assert_alike(bmshj_minnen.load(tmp_path / "model"), portable.load(directory))


@bmshj_minnen.layers.register("test bessel")
class _Bessel(bmshj_minnen.layers.Networks):
  """Networks with an operation that ONNX lacks."""

  def g_a(self):
    bessel = tf.keras.layers.Activation(tf.math.bessel_i0e)
    bessel.receptive_field = bmshj_minnen.layers.ReceptiveField(1)
    return tf.keras.Sequential(
      [tf.keras.layers.Conv2D(self.config.latent_channels, 16, 16, "same"), bessel]
    )


def test_an_operation_without_counterpart_is_named(tmp_path):
  test_foreign_networks._train_a_step(tmp_path / "model", networks="test bessel")
  with pytest.raises(ValueError, match="g_a has no ONNX graph.*Bessel"):
    _export(tmp_path / "model", tmp_path / "exported")
  assert not (tmp_path / "exported").exists()


def test_the_graphs_of_the_prior_are_exact(made, exported):
  """The step and h_s as other programs run them, against the networks that code files."""
  onnxruntime = pytest.importorskip("onnxruntime")
  _, codec, _ = made("rates")
  directory = exported("rates")
  h_s, step = (onnxruntime.InferenceSession(directory / f"{n}.onnx") for n in ("h_s", "step"))
  networks, random = codec._coder._coder.prior.networks, np.random.default_rng(0)
  z_hat = random.integers(-99, 99, [3, 2, codecs.N]).astype(np.float32)
  size = {"height": np.array(11, np.int32), "width": np.array(8, np.int32)}
  (prepared,) = h_s.run(None, {"z_hat": z_hat, **size})
  expected = networks.prepare(networks.psi(tf.constant(z_hat), 11, 8))
  np.testing.assert_array_equal(prepared, expected)
  neighbours = random.integers(-(2**15), 2**15, [88, 12 * codecs.M]).astype(np.float32)
  parts = networks.split(tf.constant(neighbours))
  mean, index = step.run(
    ["mean", "table_index"], {"prepared": prepared, "neighbours": parts.numpy()}
  )
  for found, wanted in zip((mean, index), networks.parameters(expected, parts)):
    np.testing.assert_array_equal(found, wanted)


def test_shipped_graphs_are_those_of_the_layers(tmp_path):
  """`python -m experiments.exactness.graphs` writes them."""
  pytest.importorskip("tf2onnx")
  import onnx

  from bmshj_minnen.serving import onnx_export

  made = {}
  for name in loading.catalogue.names():
    prior = read_prior(loading.catalogue.find(name))
    # Gains are in no graph.
    config = dataclasses.replace(prior.config, gain_lambdas=None)
    if config not in made:
      folder = tmp_path / name
      folder.mkdir()
      onnx_export.write_graphs(name, folder, inside=False)
      made[config] = folder, prior.fingerprint.hex()
    folder, fingerprint = made[config]
    manifest = (folder / "manifest.json").read_text()
    manifest = manifest.replace(f'"{folder.name}"', f'"{name}"')
    manifest = manifest.replace(fingerprint, prior.fingerprint.hex())
    shipped = loading.graphs_of(loading.catalogue.find(name))
    assert manifest == (shipped / "manifest.json").read_text()
    for path in folder.glob("*.onnx"):
      graphs = [onnx.load(p, load_external_data=False).graph for p in (path, shipped / path.name)]
      operations = [[node.op_type for node in graph.node] for graph in graphs]
      assert operations[0] == operations[1]
