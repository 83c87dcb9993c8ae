"""Networks from outside the package are trained, saved, loaded and used for coding."""

import logging
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_compression as tfc

import bmshj_minnen
from bmshj_minnen import layers
from bmshj_minnen.coding import tiling
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.layers.convolutions import Convolution, TransposedConvolution
from bmshj_minnen.model_files import model_directory, weights
from bmshj_minnen.training import trainer
from tests import codecs

_README = pathlib.Path(__file__).parent.parent / "README.md"
_CONV, _DECONV = tf.keras.layers.Conv2D, tf.keras.layers.Conv2DTranspose


class _Doubled(tf.keras.layers.Layer):
  """A layer that does not declare its receptive field."""

  def __init__(self):
    super().__init__()
    self.conv = _CONV(4, 3, padding="same")

  def call(self, x):
    return x + self.conv(x)


def _stack(layer, last, *others):
  return tf.keras.Sequential([*others, layer(last, 5, 2, "same")])


@layers.register("test swish")
class _Swish(layers.Networks):
  """Another activation, a normalization and pooling; g_s has no 5x5 kernels."""

  def g_a(self):
    hidden = [_CONV(4, 3, 2, "same", activation="swish"), tf.keras.layers.BatchNormalization()]
    hidden += [tf.keras.layers.AveragePooling2D(), _CONV(4, 4, 2, "same", activation="swish")]
    return _stack(_CONV, self.config.latent_channels, *hidden)

  def g_s(self):
    hidden = [_DECONV(4, 4, 4, "same", activation="swish"), tf.keras.layers.UpSampling2D()]
    return _stack(_DECONV, 3, *hidden)


@layers.register("test patches")
class _Patches(layers.Networks):
  """One layer of stride 16 each, instead of chains of layers."""

  def g_a(self):
    return _CONV(self.config.latent_channels, 16, 16, "same")

  def g_s(self):
    return _DECONV(3, 16, 16, "same")


@layers.register("test branches")
class _Branches(layers.Networks):
  """tensorflow-compression's GDN with its own defaults, which branches on tensors in Python."""

  def g_a(self):
    gdn = [tfc.GDN(dtype="float32") for _ in range(2)]
    hidden = [Convolution(4, 3, 4, gdn[0]), Convolution(4, 3, 2, gdn[1])]
    return Chain([*hidden, Convolution(self.config.latent_channels, 5, 2, dtype="float32")])

  def g_s(self):
    return _stack(_DECONV, 3, _DECONV(4, 8, 8, "same"), tfc.GDN(inverse=True, dtype="float32"))


@layers.register("test unknown")
class _Unknown(layers.Networks):
  """A layer whose receptive field is not known."""

  def g_a(self):
    hidden = [_CONV(4, 3, 4, "same"), _Doubled(), _CONV(4, 3, 2, "same")]
    return _stack(_CONV, self.config.latent_channels, *hidden)


@layers.register("test deep")
class _Deep(layers.Networks):
  """More layers that become integers, with other kernels and slopes."""

  def h_s(self):
    outputs = self.config.latent_channels * 2
    return tf.keras.Sequential(
      [
        TransposedConvolution(5, self.activation),
        _CONV(6, 5, padding="same", activation=tf.nn.relu),
        TransposedConvolution(7, tf.nn.leaky_relu),
        tf.keras.layers.Dense(outputs, use_bias=False),
      ]
    )

  def g_ep(self):
    dense, m = tf.keras.layers.Dense, self.config.latent_channels
    hidden = [dense(width, activation=self.activation) for width in (30, 25, 20)]
    return tf.keras.Sequential([*hidden, dense(2 * m)])


@layers.register("test deep patches")
class _DeepPatches(_Deep, _Patches):
  """All networks but h_a and g_cm are others."""


def _train_a_step(directory, **fields):
  """A saved model whose latents are not all zero, and its arrays."""
  config = bmshj_minnen.ModelConfig("joint", 4, 6, **fields)
  run = trainer.build(config, bmshj_minnen.TrainConfig(str(directory), crop=64, batch=1))
  x = tf.constant(codecs.photograph(64, 64)[None], tf.float32)
  before = weights.to_arrays(run.model)
  run.gradient_step(x)
  after = weights.to_arrays(run.model)
  assert all((before[name] != after[name]).any() for name in after if name.endswith("kernel"))
  generator = np.random.default_rng(0)
  for name, array in after.items():  # All arrays differ from a new model's.
    shift = 0 if name == "g_cm/kernel" else 0.01  # It is masked.
    after[name] = (array * generator.uniform(0.7, 1.3, array.shape) + shift).astype(np.float32)
    if name.startswith("g_a/") and "bias" in name:
      after[name] = np.linspace(-3, 3, array.size, dtype=np.float32)
  weights.assign(run.model, after)
  model_directory.save(run.model, directory, x)
  return after


def _check_a_file(codec, model, size):
  """Checks the decoded latents and image against the Keras model; returns the latents."""
  image = codecs.photograph(*size)
  data, sent = codec.compress_with_latents(image)
  y_hat = codec.latents(data).y_hat
  assert y_hat.tobytes() == sent.y_hat.tobytes()
  padded = np.pad(image, [(0, -size[0] % 16), (0, -size[1] % 16), (0, 0)], mode="edge")
  y = model.analysis(padded[None])[0].numpy()
  assert np.abs(y).max() > 1, "there is something to send"
  assert np.abs(y_hat - y).max() < 0.6  # Half a symbol, and the error of integer means.
  expected = np.clip(np.round(model.synthesis(y_hat[None])[0, : size[0], : size[1]]), 0, 255)
  decoded = codec.decompress(data)
  assert np.abs(decoded - expected).max() <= 1 and np.mean(decoded != expected) < 0.01
  codec.memory = 1
  assert codec.latents(data).y_hat.tobytes() == y_hat.tobytes()
  codec.memory = tiling.DEFAULT_MEMORY
  return sent


@pytest.mark.parametrize("name", ["test swish", "test patches", "test branches", "test unknown"])
def test_the_picture_of_a_file_is_the_models(name, tmp_path, caplog):
  saved = _train_a_step(tmp_path / "model", networks=name)
  model = bmshj_minnen.load_model(tmp_path / "model")
  loaded = weights.to_arrays(model)
  assert loaded.keys() == saved.keys()
  for key, array in saved.items():
    np.testing.assert_allclose(loaded[key], array, atol=1e-6)
  with caplog.at_level(logging.WARNING):
    codec = bmshj_minnen.load(tmp_path / "model")
    _check_a_file(codec, model, (50, 70))
  assert ("_Doubled" in caplog.text) == (name == "test unknown")
  # In tiles, if that is possible.
  image = np.tile(codecs.photograph(240, 230), (1, 2, 1))
  whole, size = codec.compress_with_latents(image)[1].y_hat, (240, 460)
  codec.memory = 1
  tiles = tiling.window(
    15, 29, tiling.units(codec._transforms._transforms.fields["g_a"], codec.config, 1), _FIELD
  )
  assert (tiles == (15, 29)) == (name == "test unknown")
  data, latents = codec.compress_with_latents(image)
  assert np.mean(latents.y_hat != whole) < 1e-3
  decoded = codec.decompress(data).astype(int)
  codec.memory = tiling.DEFAULT_MEMORY
  assert decoded.shape == (*size, 3)
  assert np.abs(decoded - codec.decompress(data)).max() <= 1


_FIELD = tiling.TileGeometry(16, 1, 0, 0, 1)


def _run_example(name, changes, **names):
  """Runs the example of the README that has a class of this name."""
  examples = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
  (example,) = (text for text in examples if f"class {name}(" in text)
  for text, replacement in changes.items():
    assert text in example
    example = example.replace(text, replacement)
  names["__name__"] = "my_networks"
  exec(example, names)
  return names


@pytest.mark.usefixtures("eagerly")
def test_a_prior_of_ones_own_as_in_the_readme(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  image = codecs.photograph(40, 50)
  codecs.make_codec("joint", tmp_path, gain_lambdas=(0.002, 0.128))
  small = {"steps=3000": "steps=1, crop=64, batch=1, stored_crops=1", "joint-mse": "joint"}
  names = _run_example("SmallEntropyParameters", small, image=image)
  arrays = np.load("models/small/weights.npz")
  assert arrays["g_ep/0/kernel"].shape == (4 * codecs.M, 2 * codecs.M)
  assert "g_ep/2/kernel" not in arrays
  kernels = (weights["g_a/0/kernel"] for weights in (arrays, np.load("joint/weights.npz")))
  np.testing.assert_allclose(*kernels, rtol=1e-5, atol=1e-6)
  assert bmshj_minnen.load("models/small").decompress(names["data"]).shape == image.shape


@pytest.mark.usefixtures("eagerly")
def test_networks_of_ones_own_as_in_the_readme(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  small = {"128, 192": "4, 6", "steps=100_000": "steps=1, crop=64, batch=1"}
  _run_example("ResidualNetworks", small)
  arrays = np.load("models/residual/weights.npz")
  assert {"g_a/0/kernel", "g_a/1/kernel", "g_a/1/kernel_1", "g_s/6/bias"} <= set(arrays)
  codec = bmshj_minnen.load("models/residual")
  assert all(field.memory for field in codec._transforms._transforms.fields.values()), (
    "all are divided into tiles"
  )


def test_names_that_nothing_registers_are_explained():
  with pytest.raises(ValueError, match="'nobodys'.*import the module"):
    bmshj_minnen.Model(bmshj_minnen.ModelConfig(networks="nobodys"))
  with pytest.raises(ValueError, match="already"):
    layers.register("test deep")(_Swish)


@pytest.mark.usefixtures("eagerly")
def test_more_that_becomes_integers(tmp_path):
  _train_a_step(tmp_path, networks="test deep", context_support=7)
  codec, model = bmshj_minnen.load(tmp_path), bmshj_minnen.load_model(tmp_path)
  _check_parameters(codec, model, _check_a_file(codec, model, (100, 90)))


def _check_parameters(codec, model, latents):
  """Checks that integer parameters are near the Keras model's, which applies the mask itself."""
  mean, scale = codecs.float_parameters(model, latents)
  index = np.clip(63 * np.log(scale / 0.11) / np.log(256 / 0.11), 0, 63)
  fixed_mean, fixed_index = codecs.frozen_parameters(codec, latents)
  assert np.abs(fixed_mean - mean).max() < 0.02 * max(1.0, np.abs(mean).max())
  assert np.abs(fixed_index - index).max() < 0.7
  # With other parameters the test would fail.
  assert np.ptp(mean, 0).max() > 0.05


class _BadLast(layers.Networks):
  def g_ep(self):
    return tf.keras.Sequential([tf.keras.layers.Dense(12, activation="relu")])


class _BadKind(layers.Networks):
  def h_s(self):
    return tf.keras.Sequential([_DECONV(12, 4, 4, "same")])


class _BadActivation(layers.Networks):
  def h_s(self):
    hidden = [TransposedConvolution(4, tf.nn.tanh), TransposedConvolution(4)]
    return tf.keras.Sequential([*hidden, Convolution(12, 3)])


class _BadShape(layers.Networks):
  def g_a(self):
    return _CONV(6, 8, 8, "same")


@pytest.mark.parametrize(
  ("networks", "reason"),
  [
    (_BadLast, "g_ep .*last layer must be linear"),
    (_BadKind, "h_s .*Conv2DTranspose"),
    (_BadActivation, "h_s .*no ReLU"),
    (_BadShape, r"g_a must make .*4, 4, 6.*8, 8, 6"),
  ],
)
def test_what_cannot_be_coded_is_refused_before_training(networks, reason, tmp_path):
  layers.register(f"test {networks.__name__}")(networks)
  config = bmshj_minnen.ModelConfig("joint", 4, 6, networks=f"test {networks.__name__}")
  with pytest.raises(ValueError, match=reason):
    trainer.build(config, bmshj_minnen.TrainConfig(str(tmp_path)))
