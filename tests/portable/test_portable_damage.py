"""Models of which a file is missing, damaged, or another model's: one line that names the file."""

import json
import shutil

import numpy as np
import pytest

from bmshj_minnen import portable
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.portable import manifest, outlines

pytest.importorskip("onnxruntime")

_GRAPHS = ("g_a", "h_a", "g_s", "step")


@pytest.fixture
def model(tmp_path):
  """A copy of the model that ships."""
  return shutil.copytree(catalogue.find("default"), tmp_path / "model")


def _refusal(model):
  """The line that refuses a model."""
  with pytest.raises(ValueError) as caught:
    portable.load(model)
  line = str(caught.value)
  assert "\n" not in line and len(line) < 400
  return line


@pytest.mark.parametrize("name", _GRAPHS)
def test_a_graph_that_is_missing_cut_or_another_is_named(model, name):
  folder = model / "onnx"
  graphs, path = manifest.read(folder), folder / f"{name}.onnx"
  outlines.check(folder, graphs, _GRAPHS)
  whole = path.read_bytes()
  other = (folder / f"{_GRAPHS[_GRAPHS.index(name) - 1]}.onnx").read_bytes()
  random = np.random.default_rng(0).bytes(9999)
  halves = (whole[:-1], whole[: len(whole) // 2])
  for content in (b"", b"\x3a", *halves, random, b"\0" * 9, other, None):
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
      outlines.check(folder, graphs, _GRAPHS)
    assert str(caught.value).startswith(f"{path} ")
  line = _refusal(model)  # Already when the model is loaded.
  assert line.startswith(f"{path} cannot be read") and "export the model again" in line


@pytest.mark.parametrize("name", ["g_a", "g_s"])
def test_damage_within_a_graph_is_named_when_it_runs(model, name):
  path = model / "onnx" / f"{name}.onnx"
  content = path.read_bytes()
  # An operation that no runtime knows; lengths stay.
  assert b"Conv" in content or b"MatMul" in content
  path.write_bytes(content.replace(b"Conv", b"Kunv").replace(b"MatMul", b"MutMal"))
  codec = portable.load(model)
  image = np.zeros([16, 16, 3], np.uint8)
  with pytest.raises(
    ValueError, match=f"^{path} is damaged, or of another model: export"
  ) as caught:
    codec.compress(image) if name == "g_a" else codec.decompress(portable.load().compress(image))
  assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("lacking", ["g_s/3/bias", "gains/log_gain"])
def test_a_weight_that_is_missing_is_named(model, lacking):
  path = model / "weights.npz"
  with np.load(path) as arrays:
    kept = {name: arrays[name] for name in arrays.files if name != lacking}
  np.savez(path, **kept)
  assert _refusal(model).startswith(f"{path} lacks {lacking}: export the model again")


@pytest.mark.parametrize("lacking", ["tables.cdf", "y_step", "config", "g_cm.weights"])
def test_a_part_of_the_prior_that_is_missing_is_told(model, lacking):
  path = model / "coder.npz"
  with np.load(path) as arrays:
    kept = {name: arrays[name] for name in arrays.files if name != lacking}
  np.savez(path, **kept)
  assert _refusal(model).startswith(f"{path} lacks a part")


def test_a_wrong_manifest_is_told(model):
  path = model / "onnx" / "manifest.json"
  whole = json.loads(path.read_text())
  for change in (
    {"graphs": {}},
    {"graphs": {**whole["graphs"], "g_s": {}}},
    {"graphs": {**whole["graphs"], "g_s": {**whole["graphs"]["g_s"], "field": None}}},
    {"graphs": {**whole["graphs"], "g_s": {**whole["graphs"]["g_s"], "inputs": []}}},
    {"graphs": {**whole["graphs"], "g_s": {**whole["graphs"]["g_s"], "file": 7}}},
    {"graphs": [1]},
  ):
    path.write_text(json.dumps({**whole, **change}))
    assert _refusal(model).startswith(f"{path} is damaged: export the model again")
  assert portable.loading.has_graphs(model)
  with pytest.raises(ValueError, match="is damaged"):
    portable.loading.is_export(model)
