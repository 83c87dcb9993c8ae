"""SavedModels of models for many rates: the same signatures, and others that take a quality."""

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.serving import saved_models
from bmshj_minnen.serving.stock_module import StockModule
from experiments.serving import comparisons
from tests import altered, codecs

_PRIOR = "scale_hyperprior"  # Gains are applied outside of the prior; a context takes time.
_QUALITIES = [1.0, 37.5, 50.0, 100.0]
_OF_EXPORT = 37.5  # Not the default of models.
_IMAGE = codecs.photograph(50, 37)
_LAMBDAS = (0.002, 0.016, 0.128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("rates")
  codecs.save_model(_PRIOR, folder / _PRIOR, gain_lambdas=_LAMBDAS)
  saved_models.export(
    str(folder / _PRIOR), folder / "served" / "1", 2**16, False, quality=_OF_EXPORT
  )
  return folder


@pytest.fixture(scope="module")
def codec(folder):
  return bmshj_minnen.load(folder / _PRIOR, 2**16)


@pytest.fixture(scope="module")
def served(folder):
  """The signatures of both SavedModels."""
  models = [tf.saved_model.load(str(folder / "served" / kind / "1")) for kind in ("codec", "stock")]
  # Keep the models, too, for their variables.
  return [model.signatures for model in models], models


def test_files_of_a_quality_are_those_of_the_codec(codec, served):
  (signatures, _), _ = served
  expected = [codec.compress(_IMAGE, quality=quality) for quality in _QUALITIES]
  pixels = tf.constant(np.stack([_IMAGE] * 4))
  png = tf.constant([tf.io.encode_png(_IMAGE).numpy()] * 4)
  qualities = tf.constant(_QUALITIES)
  files = signatures["compress_pixels_at_quality"](pixels=pixels, quality=qualities)["file_bytes"]
  assert list(files.numpy()) == expected
  files = signatures["compress_at_quality"](image_bytes=png, quality=qualities)["file_bytes"]
  assert list(files.numpy()) == expected
  # Without a quality, the quality of the export.
  for default in (
    signatures["compress"](image_bytes=png[:1]),
    signatures["compress_pixels"](pixels=pixels[:1]),
  ):
    assert list(default["file_bytes"].numpy()) == [expected[_QUALITIES.index(_OF_EXPORT)]]
  back = signatures["decompress"](file_bytes=tf.constant(expected))["pixels"].numpy()
  assert np.array_equal(back, [codec.decompress(file) for file in expected])


def test_bad_files_and_qualities_have_the_messages_of_the_codec(codec, served):
  (signatures, _), _ = served
  good = codec.compress(_IMAGE, quality=37.5)
  _, payload = altered.split(good)
  bad = [altered.with_field(good, "quality", bytes([byte])) for byte in (0, 200, 255)]
  bad += [altered.flipped(good, "checksum"), altered.with_field(good, "version", b"\1")]
  bad += [good[: -len(payload)], good[: -len(payload) - 1]]
  for data in bad:
    with pytest.raises(bmshj_minnen.BitstreamError) as expected:
      codec.decompress(data)
    with pytest.raises(tf.errors.InvalidArgumentError) as found:
      signatures["decompress"](file_bytes=tf.constant([data]))
    assert f"file_bytes[0]: {comparisons.escaped(str(expected.value))}" in str(found.value)
  pixels = tf.constant(np.stack([_IMAGE] * 2))
  for quality in (0.5, 100.5, 37.25, float("nan")):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"quality\[1\]: the quality must be"):
      signatures["compress_pixels_at_quality"](pixels=pixels, quality=tf.constant([1.0, quality]))
  with pytest.raises(tf.errors.InvalidArgumentError, match="expected 2, found 1"):
    signatures["compress_pixels_at_quality"](pixels=pixels, quality=tf.constant([1.0]))


def test_the_stock_model_has_the_quality_of_each_image(codec, served):
  (_, signatures), _ = served
  pixels = tf.constant(np.stack([_IMAGE] * 4))
  result = signatures["reconstruct_at_quality"](pixels=pixels, quality=tf.constant(_QUALITIES))
  sizes = [8 * len(codec.compress(_IMAGE, quality=quality)) for quality in _QUALITIES]
  bits = result["bits_per_pixel"].numpy() * 50 * 37
  # A file adds its header, and a few bits for the rounding of arithmetic coding.
  np.testing.assert_allclose(bits, sizes, rtol=0.03, atol=8 * 60)
  for picture, psnr in zip(result["pixels"].numpy(), result["psnr"].numpy()):
    assert metrics.psnr(_IMAGE, picture) == pytest.approx(psnr, abs=1e-3)
  files = [codec.compress(_IMAGE, quality=quality) for quality in _QUALITIES]
  y_hat = tf.constant(np.stack([codec.latents(file).y_hat for file in files]))
  back = signatures["synthesis_at_quality"](y_hat=y_hat, quality=tf.constant(_QUALITIES))["pixels"]
  for picture, file in zip(back.numpy()[:, :50, :37], files):
    assert np.mean(picture != codec.decompress(file)) < 1e-3
  default = signatures["reconstruct"](pixels=pixels[:1])["pixels"].numpy()
  # Another batch size may take other kernels, whose sums round otherwise.
  same = result["pixels"].numpy()[_QUALITIES.index(_OF_EXPORT)]
  assert np.mean(default[0] != same) < 1e-3
  at_quality = signatures["reconstruct_at_quality"]
  alone = at_quality(pixels=pixels[:1], quality=tf.constant([_OF_EXPORT]))["pixels"].numpy()
  assert np.array_equal(default, alone)


def test_without_a_quality_an_export_has_the_default_of_models(folder, codec):
  assert codec.compress(_IMAGE) == codec.compress(_IMAGE, quality=50)
  module, pixels = StockModule(bmshj_minnen.load_model(folder / _PRIOR)), tf.constant(_IMAGE[None])
  default, expected = module.reconstruct(pixels), module.reconstruct(pixels, tf.constant([50.0]))
  assert np.array_equal(default["pixels"], expected["pixels"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_stock_model_refuses_what_is_not_finite(served, bad):
  (_, signatures), _ = served
  pixels, y_hat = tf.constant(_IMAGE[None]), np.zeros([1, 2, 2, 6], np.float32)
  calls = [(f"{name}_at_quality", {"pixels": pixels}) for name in ("analysis", "reconstruct")]
  for name, inputs in [*calls, ("synthesis_at_quality", {"y_hat": tf.constant(y_hat)})]:
    with pytest.raises(tf.errors.InvalidArgumentError, match="the quality must be 1 to 100"):
      signatures[name](**inputs, quality=tf.constant([np.float32(bad)]))
  y_hat[0, 1, 1, 5] = bad
  with pytest.raises(tf.errors.InvalidArgumentError, match="y_hat must be finite"):
    signatures["synthesis"](y_hat=tf.constant(y_hat))
