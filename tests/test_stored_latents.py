"""Priors trained on stored latents of another model; they keep its transforms."""

import csv
import dataclasses

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.data import crops, finding
from bmshj_minnen.model_files import array_files, catalogue, model_directory, weights
from bmshj_minnen.training import loop, stored_latents

_MODEL = bmshj_minnen.ModelConfig("scale_hyperprior", 8, 12, gain_lambdas=(0.01, 0.04))
_STORED = 10


def _config(folder, name, **changes):
  base = bmshj_minnen.TrainConfig(
    model_dir=str(folder / name),
    crop=64,
    batch=4,
    steps=4,
    save_every=2,
    learning_rate=1e-3,
    latents_dir=str(folder / "latents"),
    stored_crops=_STORED,
    schedule="constant",
  )
  return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, module_eagerly):
  """The folder of a trained model, `source`, and of two priors on its latents."""
  folder = tmp_path_factory.mktemp("stored")
  loop.train(_MODEL, _config(folder, "source", steps=2))
  for prior in ("factorized", "scale_hyperprior"):
    config = _config(folder, prior, latents_of=str(folder / "source"))
    loop.train(dataclasses.replace(_MODEL, prior=prior), config)
  return folder


def _arrays(folder, name):
  return array_files.read(folder / name, array_files.WEIGHTS)


def _rows(folder, name):
  with open(folder / name / "metrics.csv") as file:
    return list(csv.DictReader(file))


def test_the_prior_alone_is_trained(folder):
  source, prior = _arrays(folder, "source"), _arrays(folder, "scale_hyperprior")
  parts = {name.partition("/")[0] for name in prior}
  assert {"g_a", "g_s", "gains", "h_a", "h_s", "z_density"} <= parts
  for name in prior:
    if name.startswith(("g_a/", "g_s/", "gains/")):
      np.testing.assert_allclose(prior[name], source[name], rtol=1e-5, atol=1e-7, err_msg=name)
  assert any((prior[n] != source[n]).any() for n in prior if n.startswith("h_a/") and n in source)


def test_priors_share_one_file_of_latents_without_gains(folder):
  (path,) = (folder / "latents").iterdir()
  stored = np.load(path)
  assert stored.shape == (_STORED, 4, 4, 12) and stored.dtype == np.float16
  paths = tuple(finding.find_photographs(finding.bundled_photographs(), 64).paths)
  settings = crops.CropSettings(64, 4, seed=0, first_step=0, last_step=3)
  batches = crops.photograph_crops(paths, settings)
  x = np.concatenate([batch.numpy() for batch in batches])[:_STORED]
  arrays = _arrays(folder, "source")
  model = bmshj_minnen.load_model(str(folder / "source"))
  assert np.ptp(arrays["gains/log_gain"]) > 0.1
  y = model.g_a(x.astype(np.float32) / 255).numpy()
  np.testing.assert_allclose(stored, y, rtol=2e-3, atol=1e-3)


def test_equal_latents_give_equal_pictures_and_other_rates(folder):
  # Both round y to whole numbers.
  of_factorized, of_scales = (_rows(folder, p)[-1] for p in ("factorized", "scale_hyperprior"))
  distortion = float(of_factorized["val_distortion"])
  assert distortion == pytest.approx(float(of_scales["val_distortion"]), rel=1e-5) and distortion
  assert of_factorized["val_bpp"] != of_scales["val_bpp"]
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:50, :70]
  a, b = (bmshj_minnen.load(folder / prior) for prior in ("factorized", "scale_hyperprior"))
  np.testing.assert_array_equal(a.decompress(a.compress(image)), b.decompress(b.compress(image)))


def test_bits_fall(folder):
  rows = _rows(folder, "scale_hyperprior")
  assert float(rows[1]["val_bpp"]) < float(rows[0]["val_bpp"])


def test_resuming_repeats_an_uninterrupted_run(folder, tmp_path):
  config = _config(folder, "x", latents_of=str(folder / "source"), model_dir=str(tmp_path / "m"))
  loop.train(_MODEL, dataclasses.replace(config, steps=2))
  loop.train(_MODEL, config)
  resumed, whole = _rows(tmp_path, "m"), _rows(folder, "scale_hyperprior")
  for name in ("loss", "val_bpp"):
    np.testing.assert_allclose(
      [float(row[name]) for row in resumed], [float(row[name]) for row in whole], rtol=1e-4
    )


def test_other_transforms_are_refused(folder):
  config = _config(folder, "other", latents_of=str(folder / "source"))
  with pytest.raises(ValueError, match="source have latent_channels 12, not 16"):
    loop.train(dataclasses.replace(_MODEL, latent_channels=16), config)
  assert not model_directory.has_weights(folder / "other")


def test_transforms_are_those_of_a_shipped_model():
  config = dataclasses.replace(model_directory.load_config("joint-mse"), prior="factorized")
  model = bmshj_minnen.Model(config)
  stored_latents.load_transforms(model, "joint-mse")
  source = array_files.read(catalogue.find("joint-mse"), array_files.WEIGHTS)
  found = weights.to_arrays(model)
  for name in ("g_a/0/kernel", "g_s/3/kernel", "gains/log_gain"):
    np.testing.assert_allclose(found[name], source[name], rtol=1e-4, atol=1e-6)


def test_a_prior_is_not_also_initialised(folder):
  with pytest.raises(ValueError, match="either latents_of, .*or init_from"):
    _config(folder, "other", latents_of="joint-mse", init_from="joint-mse")
