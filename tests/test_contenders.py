"""Names of models in evaluations, ways to give them, and results that are refused."""

import shutil

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen.evaluation import classical, measuring, subjects, summary
from tests import codecs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model in `joint`."""
  folder = tmp_path_factory.mktemp("contenders")
  codecs.make_codec("joint", folder)
  return folder


def _copies(folder, target, *names):
  for name in names:
    shutil.copytree(folder / "joint", target / name)
  return [str(target / name) for name in names]


def _curves(models, **fields):
  config = subjects.EvaluationConfig("", "", models=models, **fields)
  return [(c.codec, c.setting) for c in subjects.find_contenders(config)]


def test_models_are_called_by_their_directories(folder, tmp_path):
  numbered = _copies(folder, tmp_path, "mine-1", "mine-0.02", "mine-1e-05", "other", "mbt2018-4")
  assert _curves(numbered) == [
    ("mine", "mine-1"),
    ("mine", "mine-0.02"),
    ("mine", "mine-1e-05"),
    ("other", "other"),
    ("mbt2018", "mbt2018-4"),
  ]
  assert {codec for codec, _ in _curves(numbered, label="all")} == {"all"}
  commas = _copies(folder, tmp_path, "with,comma-1")
  assert _curves([f"{numbered[0]},{numbered[3]}", *commas]) == [
    ("mine", "mine-1"),
    ("other", "other"),
    ("with,comma", "with,comma-1"),
  ]
  # Models for one rate each that form one curve, and one model with its own curve.
  numbered = _copies(folder, tmp_path, "joint-mse-1", "joint-mse-2")
  assert _curves([*numbered, "joint-mse"], qualities=[5]) == [
    ("joint-mse", "joint-mse-1"),
    ("joint-mse", "joint-mse-2"),
    ("joint-mse many rates", "joint-mse q5"),
  ]


def test_qualities_are_those_of_models_for_many_rates_if_there_are_any(folder, tmp_path):
  with pytest.raises(ValueError, match="quality of hevc444 must be in 0..51, not 100"):
    _curves(_copies(folder, tmp_path, "one-1"), qualities=[100], codecs=["hevc444"])
  curves = _curves(["joint-mse"], qualities=[1, 100], codecs=["hevc444", "webp"])
  usual = [
    (name, str(quality))
    for name in ("hevc444", "webp")
    for quality in classical.FORMATS[name].qualities
  ]
  assert [setting for _, setting in curves[:2]] == ["joint-mse q1", "joint-mse q100"]
  assert curves[2:] == usual


def test_models_of_one_name_in_different_directories_are_different_curves(folder, tmp_path):
  models = _copies(folder, tmp_path, "a/m-1", "a/m-2", "b/m-1", "b/c/m-1", "a/n")
  names = [codec for codec, _ in _curves(models)]
  assert names == ["a/m", "a/m", "b/m", "b/c/m", "n"]
  nested = _copies(folder, tmp_path / "d", "m-1", "e/m-1")
  assert [codec for codec, _ in _curves(nested)] == ["d/m", "d/e/m"]
  with pytest.raises(ValueError, match="all m-1 is given twice; leave out --label"):
    _curves(models, label="all")


def test_a_model_cannot_pass_for_a_classical_codec(folder, tmp_path):
  with pytest.raises(ValueError, match="cannot be called webp: give another --label"):
    _curves(_copies(folder, tmp_path, "webp-1"))


def test_files_that_are_no_photographs_are_named_before_anything_is_measured(tmp_path):
  bmshj_minnen.write_image(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
  (tmp_path / "b.png").write_bytes(b"")
  (tmp_path / "c.png").mkdir()
  (tmp_path / "d.png").write_text("text")
  output = tmp_path / "output"
  config = measuring.EvaluationConfig(str(tmp_path / "*.png"), str(output), codecs=["webp"])
  with pytest.raises(ValueError, match=r"2 of 3 files cannot be measured.*b\.png.*; .*d\.png"):
    measuring.evaluate(config)
  assert not output.exists()


def test_a_photograph_that_a_codec_cannot_code_is_named(tmp_path):
  bmshj_minnen.write_image(str(tmp_path / "wide.png"), np.zeros((1, 16384, 3), np.uint8))
  config = measuring.EvaluationConfig(str(tmp_path / "*.png"), str(tmp_path), codecs=["webp"])
  with pytest.raises(ValueError, match=r"webp 0 cannot code .*wide\.png"):
    measuring.evaluate(config)


def test_a_summary_without_its_packages_says_how_to_get_them(tmp_path, monkeypatch, caplog):
  monkeypatch.setattr(summary.importlib.util, "find_spec", lambda name: None)
  summary.write([], tmp_path)
  assert list(tmp_path.iterdir()) == []
  assert "pip install 'bmshj_minnen[evaluation]'" in caplog.text
