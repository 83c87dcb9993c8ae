"""A model whose coder contradicts its predictions is refused by name of the part, and not saved."""

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config, layers
from bmshj_minnen.coding import freezing, prior_check
from bmshj_minnen.entropy import conditional
from bmshj_minnen.layers import masked_conv
from bmshj_minnen.model_files import model_directory, weights
from bmshj_minnen.training import loop, trainer
from tests import codecs

_IMAGES = codecs.photograph(80, 96)[None]


class _Checkerboard(masked_conv.MaskedConv2D):
  """A g_cm of another mask, behind the back of `config.order`."""

  def __init__(self, filters, masks):
    rows, columns = np.indices(masks.shape[2:4])
    super().__init__(filters, (rows + columns) % 2)


def _is_refused(model, match, folder):
  with pytest.raises(ValueError, match=match):
    model_directory.save(model, folder, _IMAGES)
  assert not list(folder.iterdir())


@pytest.mark.parametrize("prior", config.PRIORS)
def test_the_papers_priors_pass(prior, tiny_model, tmp_path):
  model_directory.save(tiny_model(prior), tmp_path, _IMAGES)


def test_another_mask_is_refused(monkeypatch, build_model, tmp_path):
  monkeypatch.setattr(layers, "MaskedConv2D", _Checkerboard)
  # With its own mask, this model passes: it is the one of `tiny_model`.
  _is_refused(build_model("joint"), "outputs of g_cm differ", tmp_path)


def test_other_parameters_of_a_subclass_are_refused(tiny_model, tmp_path):
  class Shifted(bmshj_minnen.Model):
    def parameters(self, psi, y_hat):
      mean, scale = super().parameters(psi, y_hat)
      return mean + 1, scale

  class Wider(bmshj_minnen.Model):
    def parameters(self, psi, y_hat):
      mean, scale = super().parameters(psi, y_hat)
      return mean, 2 * scale

  class OtherPsi(bmshj_minnen.Model):
    def hyper_synthesis(self, z_hat, shape):
      return tf.nn.relu(super().hyper_synthesis(z_hat, shape))

  for cls, match in ((Shifted, "means of g_ep"), (Wider, "scales of g_ep"), (OtherPsi, "of h_s")):
    model = cls(bmshj_minnen.ModelConfig("joint", 4, 6))
    weights.assign(model, weights.to_arrays(tiny_model("joint")))
    _is_refused(model, match, tmp_path)


def _with_larger_means(model, difference):
  arrays = weights.to_arrays(model)
  name = f"h_s/{len(model.h_s.layers) - 1}/bias"
  means = np.arange(12) < 6  # Means come first.
  weights.assign(model, {**arrays, name: np.float32(arrays[name] + difference * means)})
  return model


@pytest.mark.usefixtures("eagerly")
def test_means_beyond_all_latents_are_coded_as_they_are(build_model, tmp_path):
  model = _with_larger_means(build_model("mean_scale_hyperprior"), 50)
  model_directory.save(model, tmp_path, _IMAGES)
  x = codecs.photograph(64, 64)
  codec = bmshj_minnen.load(tmp_path)
  y_hat = codec.latents(codec.compress(x)).y_hat
  y = model.analysis(x[None])[0].numpy()
  assert abs(y).max() < 50
  np.testing.assert_allclose(y_hat, y, atol=0.51)  # They differ by the rounding of y - mean.


def test_means_beyond_the_range_of_integers_are_refused(build_model, tmp_path):
  model = _with_larger_means(build_model("mean_scale_hyperprior"), 9000)
  _is_refused(model, "means of h_s reach 9..., but entropy coding limits them to 2", tmp_path)


def test_another_density_than_that_of_the_tables_is_refused(monkeypatch, build_model, tmp_path):
  def bits(self, y_hat, mean, scale):
    return 2 * original(self, y_hat, mean, scale)

  original = conditional.Conditional.bits
  model = build_model("mean_scale_hyperprior")
  assert _bits_of_a_picture(model) > 1500
  monkeypatch.setattr(conditional.Conditional, "bits", bits)
  _is_refused(model, "tables of another density", tmp_path)


def _bits_of_a_picture(model):
  y = model.analysis(_IMAGES[:, :64, :64])
  rate = model.rate(tf.round(y), tf.round(model.hyper_analysis(y)))
  return float(rate.y_bits[0] + rate.z_bits[0])


def test_a_coder_that_does_not_give_back_is_refused(monkeypatch, tiny_model):
  model = tiny_model("joint")
  frozen = freezing.freeze(model, _IMAGES)
  prior_check.check_codec(model, frozen, _IMAGES)
  decode = prior_check.PriorCoder.decode

  def wrong(self, *args):
    y_hat, z_hat, is_whole = decode(self, *args)
    return y_hat + 1, z_hat, is_whole

  monkeypatch.setattr(prior_check.PriorCoder, "decode", wrong)
  with pytest.raises(ValueError, match="does not give back"):
    prior_check.check_codec(model, frozen, _IMAGES)


@layers.register("test mixture of three")
class _Mixture(layers.Networks):
  def g_ep(self):
    return tf.keras.layers.Dense(9 * self.config.latent_channels)


@layers.register("test narrow psi")
class _Narrow(layers.Networks):
  def h_s(self):
    up = tf.keras.layers.Conv2DTranspose
    return tf.keras.Sequential([up(4, 3, 2, "same"), up(6, 3, 2, "same")])


def test_outputs_of_another_shape_are_named_when_the_model_is_made():
  for name, match in (("test mixture of three", "g_ep must make"), ("test narrow psi", "h_s must")):
    with pytest.raises(ValueError, match=match):
      bmshj_minnen.Model(bmshj_minnen.ModelConfig("joint", 4, 6, networks=name))


def test_training_refuses_before_the_first_step(monkeypatch, tmp_path):
  monkeypatch.setattr(layers, "MaskedConv2D", _Checkerboard)
  monkeypatch.setattr(trainer.Trainer, "gradient_step", None)
  run = bmshj_minnen.TrainConfig(str(tmp_path / "model"), crop=64, batch=1, steps=1)
  with pytest.raises(ValueError, match="outputs of g_cm differ"):
    loop.train(bmshj_minnen.ModelConfig("autoregressive", 4, 6), run)
  assert not list((tmp_path / "model").glob("*.npz"))
