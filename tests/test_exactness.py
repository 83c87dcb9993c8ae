"""A file gives the same ŷ under other runtimes, threads, oneDNN settings and instruction sets."""

import json
import sys

import pytest

import bmshj_minnen
from bmshj_minnen.model_files import catalogue
from experiments.exactness import files, matrix, modes
from tests import codecs


def test_settings_decode_each_others_files(tmp_path):
  # All networks of the five priors, and the layers that compute scales with and without context.
  names = ("mean_scale_hyperprior", "joint_rates")
  matrix.make_models(tmp_path, channels=24, side=64, names=names)
  other = (1, 0, "SSE41")
  modes.encode(tmp_path, "here")
  assert matrix.run_worker(tmp_path, *other, encode=True, decode=True)
  assert modes.decode(tmp_path, "here") == 0
  assert len([*tmp_path.glob("*.tfci")]) == 2 * 2 * len(names)


def test_onnx_runtime_decodes_what_tensorflow_wrote_and_a_difference_is_noticed(tmp_path):
  pytest.importorskip("onnxruntime")
  image, codec = codecs.photograph(50, 60), bmshj_minnen.load("default")
  bmshj_minnen.write_image(str(tmp_path / "image.png"), image)
  (tmp_path / "models").mkdir()
  (tmp_path / "models" / "shipped").symlink_to(catalogue.find("default"))
  coded = codec.compress_with_latents(image, quality=files.quality(codec))
  files.write(tmp_path, "here", [("shipped", "graph", coded)])
  setting = (tmp_path, sys.executable, 1, "AVX2")
  assert matrix.run_portable(*setting, decode=False)
  assert len([*tmp_path.glob("*.tfci")]) == 2
  assert matrix.run_portable(*setting, decode=True)
  (tmp_path / "here.json").write_text(json.dumps({"shipped.graph.here": "another"}))
  assert not matrix.run_portable(*setting, decode=True)
