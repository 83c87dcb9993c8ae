"""A model for many rates: its gains, its training, its files and their quality."""

import dataclasses
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import train
from bmshj_minnen.config import ModelConfig
from bmshj_minnen.evaluation import measuring
from bmshj_minnen.format import reading
from bmshj_minnen.layers import Gains
from bmshj_minnen.losses import losses
from bmshj_minnen.model import Rate
from bmshj_minnen.model_files import model_directory, weights
from bmshj_minnen.quality import QUALITIES, Dial, lambda_of
from bmshj_minnen.training import trainer
from bmshj_minnen.training.train_config import TrainConfig
from tests import altered, codecs, programs

_LAMBDAS = (0.002, 0.016, 0.128)
# Gains are applied outside of the entropy coder: without h_a, with h_a of |y|, and with h_a of y.
_PRIORS = ("factorized", "scale_hyperprior", "joint")


def _make(prior, folder):
  """A codec for many rates whose gains differ by channel, and its model."""
  model = codecs.make_model(prior, gain_lambdas=_LAMBDAS)
  generator = np.random.default_rng(3)
  model.gains.log_gain.assign(generator.normal(size=(3, codecs.M)) + np.array([[-1], [0], [1.5]]))
  model.gains.log_inverse.assign(-model.gains.log_gain + 0.1)
  model_directory.save(model, folder / prior, tf.constant(codecs.photograph(128, 128)[None]))
  return bmshj_minnen.load(folder / prior), model


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
  return _make("joint", tmp_path_factory.mktemp("gains"))


@pytest.fixture(scope="module")
def many(joint, tmp_path_factory):
  """The directory of the model of `joint`, called `many`."""
  folder = tmp_path_factory.mktemp("directory") / "many"
  model_directory.save(joint[1], folder, tf.constant(codecs.photograph(128, 128)[None]))
  return folder


def test_gains_are_interpolated_geometrically():
  gains = Gains(2, _LAMBDAS)
  gains.log_gain.assign(np.log([[1.0, 8.0], [4.0, 2.0], [16.0, 2.0]]))
  # At the geometric mean of two λ, the gains are the geometric mean; outside, the end's gains.
  lambdas = [0.0001, 0.002, math.sqrt(0.002 * 0.016), 0.016, 0.128, 1.0]
  expected = [[1, 8], [1, 8], [2, 4], [4, 2], [16, 2], [16, 2]]
  np.testing.assert_allclose(gains.gain(tf.constant(lambdas))[:, 0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("lambdas", [_LAMBDAS, (0.001, 0.003, 0.1, 3.0)])
def test_the_gains_of_files_are_those_of_the_layer(lambdas):
  random = np.random.default_rng(0)
  layer, config = Gains(5, lambdas), ModelConfig(gain_lambdas=lambdas)
  layer.log_gain.assign(random.normal(size=layer.log_gain.shape))
  layer.log_inverse.assign(random.normal(size=layer.log_inverse.shape))
  dial = Dial(config, layer.log_gain.numpy(), layer.log_inverse.numpy())
  at = tf.constant([lambda_of(quality, config) for quality in QUALITIES], tf.float32)
  np.testing.assert_allclose(dial.gains, layer.gain(at)[:, 0, 0], rtol=1e-5)
  np.testing.assert_allclose(dial.inverses, layer.inverse(at)[:, 0, 0], rtol=1e-5)
  np.testing.assert_array_equal(dial.gain(37.5), dial.gains[73])
  np.testing.assert_array_equal(dial.inverse(100), dial.inverses[198])


def test_model_and_codec_have_one_default_quality(joint):
  codec, model = joint
  image = codecs.photograph(48, 64)
  at_50 = tf.constant([lambda_of(50, codec.config)], tf.float32)
  y, default = (model.analysis(image[None], lmbda).numpy() for lmbda in (at_50, None))
  np.testing.assert_array_equal(y, default)
  np.testing.assert_allclose(codec.graphs.analyze(image)[0], default[0], rtol=1e-3, atol=1e-2)
  assert codec.compress(image) == codec.compress(image, quality=50)


def test_the_quality_of_a_codec_holds_for_all_that_it_does(joint, many):
  codec, image = bmshj_minnen.load(many, quality=12.5), codecs.photograph(48, 64)
  assert codec.compress(image) == joint[0].compress(image, quality=12.5)
  y_hat = codec.latents(codec.compress(image)).y_hat
  for function, arguments in (
    ("analyze", (image,)),
    ("synthesize", (tf.constant(y_hat), 48, 64)),
  ):
    found = getattr(codec.graphs, function)(*arguments)
    expected = getattr(joint[0].graphs, function)(*arguments, quality=12.5)
    other = getattr(joint[0].graphs, function)(*arguments)
    assert np.array_equal(found[0], expected[0]) and not np.array_equal(found[0], other[0])


def test_untrained_gains_are_one_at_a_given_rate():
  gains = Gains(3, _LAMBDAS)
  gains.reset(0.016)
  at = tf.constant([0.016, 0.128])
  np.testing.assert_allclose(gains.gain(at)[:, 0, 0, 0], [1, 8**0.4], rtol=1e-5)
  np.testing.assert_allclose(gains.gain(at) * gains.inverse(at), np.ones((2, 1, 1, 3)), rtol=1e-5)


@pytest.mark.parametrize(
  "lambdas", [(0.01,), (0.02, 0.01), (0.01, 0.01), (0.0, 0.1), (-1.0, 0.1)], ids=str
)
def test_lambdas_that_make_no_range_are_refused(lambdas):
  with pytest.raises(ValueError, match="gain_lambdas must be two or more"):
    ModelConfig(gain_lambdas=lambdas)


def test_quality_is_log_linear_in_lambda():
  config = ModelConfig(gain_lambdas=_LAMBDAS)
  lambdas = [lambda_of(quality / 2, config) for quality in range(2, 201)]
  assert lambdas[0] == _LAMBDAS[0]
  assert lambdas[-1] == pytest.approx(_LAMBDAS[-1])
  np.testing.assert_allclose(np.diff(np.log(lambdas)), math.log(64) / 198)


@pytest.mark.parametrize("quality", [0, 0.5, 100.5, 101, -1, 37.25, math.nan])
def test_qualities_that_there_are_not(joint, quality):
  with pytest.raises(ValueError, match="quality must be 1 to 100"):
    joint[0].compress(codecs.photograph(16, 16), quality=quality)


def test_a_model_for_one_rate_has_no_quality(tmp_path):
  codec, _ = codecs.make_codec("factorized", tmp_path)
  with pytest.raises(ValueError, match="one rate"):
    codec.compress(codecs.photograph(16, 16), quality=50)
  file = codec.compress(codecs.photograph(16, 16))
  assert reading.parse(file)[0].version == 1


@pytest.mark.parametrize("prior", _PRIORS)
def test_files_hold_the_latents_and_pixels_of_the_model(prior, joint, tmp_path):
  codec, model = joint if prior == "joint" else _make(prior, tmp_path)
  image = codecs.photograph(70, 90)
  padded = np.pad(image, [(0, 10), (0, 6), (0, 0)], "edge")[None]
  for quality in (1, 37.5, 100):
    lmbda = tf.constant([lambda_of(quality, codec.config)], tf.float32)
    data, latents = codec.compress_with_latents(image, quality=quality)
    header, _ = reading.parse_intact(data)
    assert (header.version, header.quality) == (2, quality)
    decoded = codec.latents(data)
    assert np.array_equal(decoded.y_hat, latents.y_hat)
    assert np.array_equal(decoded.z_hat, latents.z_hat)
    # Every symbol is within a half of Keras's value.
    y = model.analysis(tf.constant(padded), lmbda)[0].numpy()
    assert np.abs(latents.y_hat - y).max() < 0.5 + 2e-3 * np.abs(y).max()
    x_hat = model.synthesis(tf.constant(latents.y_hat[None]), lmbda)[0, :70, :90].numpy()
    pixels = codec.decompress(data).astype(float)
    rounding = 1e-4 * np.abs(x_hat).max()  # Values of an untrained g_s are far above 255.
    assert np.mean(np.abs(pixels - np.clip(x_hat, 0, 255)) > 0.5 + rounding) == 0
    assert pixels.std() > 10


def test_higher_qualities_take_more_bytes(joint):
  sizes = [len(joint[0].compress(codecs.photograph(96, 96), quality=q)) for q in (1, 50, 100)]
  assert sizes == sorted(set(sizes))


def test_tiles_change_nothing_but_rounding(joint):
  codec, image = joint[0], codecs.photograph(400, 300)
  whole = codec.decompress(codec.compress(image, quality=70))
  codec.memory = 1
  tiled = codec.decompress(codec.compress(image, quality=70))
  codec.memory = 2**30
  assert np.mean(whole != tiled) < 0.01


def test_hostile_qualities_are_refused(joint):
  codec = joint[0]
  data = codec.compress(codecs.photograph(32, 32), quality=20)
  for quality in (0, 200, 255):
    with pytest.raises(bmshj_minnen.BitstreamError, match="no such quality, or damage at byte 16"):
      codec.decompress(altered.with_field(data, "quality", bytes([quality])))
  with pytest.raises(bmshj_minnen.BitstreamError, match="wrong checksum at byte 17"):
    codec.decompress(altered.flipped(data, "quality", bit=0))
  with pytest.raises(bmshj_minnen.BitstreamError, match="version"):
    codec.decompress(altered.with_field(data, "version", bytes([1])))
  for length in range(len(data)):
    with pytest.raises(bmshj_minnen.BitstreamError):
      codec.decompress(data[:length])


def test_losses_of_many_rates_are_weighted_means():
  x = tf.zeros([2, 16, 16, 3])
  x_hat = tf.stack([tf.fill([16, 16, 3], 2.0), tf.fill([16, 16, 3], 3.0)])
  rate = Rate(tf.constant([256.0, 512.0]), tf.constant([0.0, 256.0]))
  result = losses(x, x_hat, rate, tf.constant([0.5, 0.1]), "mse", tf.constant([1.0, 10.0]))
  assert float(result.loss) == pytest.approx((1 * (1 + 0.5 * 4) + 10 * (3 + 0.1 * 9)) / 2)
  assert float(result.bpp) == pytest.approx(2)
  assert float(result.distortion) == pytest.approx(6.5)


def test_training_moves_gains_and_shows_four_rates():
  config = TrainConfig(model_dir="", crop=64, batch=4, steps=9)
  run = trainer.build(ModelConfig("joint", 4, 6, gain_lambdas=_LAMBDAS), config)
  before = {k: v.copy() for k, v in weights.to_arrays(run.model).items() if k.startswith("gains/")}
  x = tf.constant(np.stack([codecs.photograph(64, 64)] * 4))
  run.train_step(x)
  after = weights.to_arrays(run.model)
  assert len(before) == 2
  for name, old in before.items():
    assert np.all(np.abs(after[name] - old).max(1) > 0), name
  results = {name: float(value) for name, value in run.test_step(x).items()}
  low, high = _LAMBDAS[0], _LAMBDAS[-1]
  for part in (1 / 8, 3 / 8, 5 / 8, 7 / 8):
    lmbda = low * (high / low) ** part
    loss, bpp, d = (results[f"{name}_{lmbda:.3g}"] for name in ("loss", "bpp", "distortion"))
    assert loss == pytest.approx(bpp + lmbda * d, rel=1e-4)


def test_a_model_for_one_rate_goes_on_for_many(tmp_path):
  codecs.make_codec("mean_scale_hyperprior", tmp_path)
  directory = tmp_path / "mean_scale_hyperprior"
  source = model_directory.load_model(directory)
  (directory / "train.json").write_text('{"flags": {"lmbda": 0.01, "distortion": "mse"}}')
  model = bmshj_minnen.Model(dataclasses.replace(source.config, gain_lambdas=_LAMBDAS))
  model_directory.load_weights(model, directory)
  x = tf.constant(codecs.photograph(64, 64)[None])
  x_hat, rate = model.forward_rounded(x, tf.constant([0.01]))
  expected, expected_rate = source.forward_rounded(x)
  np.testing.assert_allclose(x_hat, expected, atol=0.05)
  np.testing.assert_allclose(rate.y_bits, expected_rate.y_bits, rtol=1e-3)


def test_flags_of_a_range():
  flags = train.flags.FLAGS
  for arguments, message in (
    (["--lambda_range=0.1"], "two increasing"),
    (["--lambda_range=0.1,0.01"], "two increasing"),
    (["--lambda_range=a,b"], "two increasing"),
    (["--lambda_range=0.01,0.1", "--lambda=0.05"], "either --lambda"),
  ):
    flags.unparse_flags()
    flags(["train", *arguments])
    with pytest.raises(ValueError, match=message):
      train.configs()
    flags.unparse_flags()
    for name in ("lambda_range", "lambda"):
      flags[name].unparse()
  flags(["train", "--lambda_range=0.002,0.128", "--rates=3"])
  model_config, train_config = train.configs()
  for name in ("lambda_range", "rates"):
    flags[name].unparse()
  assert model_config.gain_lambdas == pytest.approx(_LAMBDAS)
  assert train_config.model_dir == "models/joint-0.002-0.128"


def test_evaluations_have_a_setting_for_each_quality(joint, many, tmp_path):
  image = codecs.photograph(48, 64)
  bmshj_minnen.write_image(str(tmp_path / "photo.png"), image)
  codec = joint[0]
  config = measuring.EvaluationConfig(
    images=str(tmp_path / "*.png"),
    output=str(tmp_path / "out"),
    models=[str(many)],
    qualities=[1, 100],
  )
  entries = measuring.evaluate(config)
  assert [entry["setting"] for entry in entries] == ["many q1", "many q100"]
  for entry, quality in zip(entries, (1, 100)):
    assert entry["bytes"] == len(codec.compress(image, quality=quality))


def test_the_command_line_sets_the_quality(joint, many, tmp_path):
  image = codecs.photograph(48, 64)
  bmshj_minnen.write_image(str(tmp_path / "photo.png"), image)
  files = [str(tmp_path / name) for name in ("photo.png", "photo.tfci")]
  result = programs.run("compress", f"--model={many}", "--quality=37", *files, eager=True)
  assert result.returncode == 0, result.stderr
  expected = joint[0].compress(image, quality=37)
  assert pathlib.Path(files[1]).read_bytes() == expected
