"""Models of which a file is missing, damaged, or another model's: one line that names the file."""

import json
import shutil

import numpy as np
import pytest

from bmshj_minnen import portable
from bmshj_minnen.model_files import catalogue

pytest.importorskip("onnxruntime")

_GRAPHS = ("g_a", "h_a", "g_s", "step")


@pytest.fixture
def model(tmp_path):
  """A copy of the model that ships."""
  return shutil.copytree(catalogue.find("default"), tmp_path / "model")


def _drop(path, name):
  """Removes an array from a file."""
  with np.load(path) as arrays:
    kept = {key: arrays[key] for key in arrays.files if key != name}
  np.savez(path, **kept)


def _refusal(model):
  """The line that refuses a model."""
  with pytest.raises(ValueError) as caught:
    portable.load(model)
  line = str(caught.value)
  assert "\n" not in line and len(line) < 400
  return line


def _code(model):
  """Runs all graphs of a model."""
  image = np.zeros([70, 70, 3], np.uint8)
  codec = portable.load(model)
  codec.compress(image)
  codec.decompress(portable.load().compress(image))


@pytest.mark.parametrize("name", _GRAPHS)
def test_a_graph_that_is_missing_cut_or_another_is_named(model, name):
  path = model / "onnx" / f"{name}.onnx"
  whole = path.read_bytes()
  other = path.with_name(f"{_GRAPHS[_GRAPHS.index(name) - 1]}.onnx").read_bytes()
  # The last has an operation that no runtime knows.
  odd = whole.replace(b"Conv", b"Kunv").replace(b"MatMul", b"MutMal")
  for content in (b"", whole[: len(whole) // 2], b"\0" * 9, other, odd):
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
      _code(model)
    line = str(caught.value)
    assert line.startswith(f"{path} is damaged, or of another model: export the model again")
    assert "\n" not in line and len(line) < 400
  path.unlink()
  assert _refusal(model).startswith(f"{path} is missing: export the model again")


@pytest.mark.parametrize("lacking", ["g_s/3/bias", "gains/log_gain"])
def test_a_weight_that_is_missing_is_named(model, lacking):
  path = model / "weights.npz"
  _drop(path, lacking)
  assert _refusal(model).startswith(f"{path} lacks {lacking}: export the model again")


@pytest.mark.parametrize("lacking", ["tables.cdf", "y_step", "config", "g_cm.weights"])
def test_a_part_of_the_prior_that_is_missing_is_told(model, lacking):
  path = model / "coder.npz"
  _drop(path, lacking)
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
