"""The runtime that programs and Pillow use; starting one does not load the other."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import bmshj_minnen
from bmshj_minnen.command_line import runtimes
from bmshj_minnen.command_line.planning import Job
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.portable import loading
from tests import codecs

_ROOT = pathlib.Path(__file__).parent.parent
_GOLDEN = str(_ROOT / "tests" / "golden" / "joint")  # A model without graphs.
_MANY = runtimes._FEW_PIXELS + 1


@pytest.fixture
def installed(monkeypatch):
  """Sets the installed packages, with TensorFlow not imported yet."""
  monkeypatch.delitem(sys.modules, "tensorflow")
  monkeypatch.setattr(runtimes.importlib, "import_module", lambda name: None)
  return lambda *names: monkeypatch.setattr(runtimes, "_is_installed", names.__contains__)


def _chosen(asked="auto", model="", pixels=(9, 9), reports=False, **options):
  # Existing sources with these numbers of pixels.
  jobs = [Job(__file__, str(number)) for number in pixels]
  sizes = iter(pixels)
  loader = runtimes.choose(asked, model, jobs, lambda path: next(sizes), reports, **options)
  return loader.runtime


def test_few_pixels_are_for_onnx_runtime_and_many_for_tensorflow(installed):
  installed("tensorflow", "onnx")
  assert _chosen() == "onnx"
  assert _chosen(pixels=[_MANY]) == "tensorflow"
  assert _chosen(pixels=[_MANY // 4 + 1] * 4) == "tensorflow"
  assert _chosen(pixels=[_MANY // 4] * 3) == "onnx"
  for asked in ("tensorflow", "onnx"):
    assert _chosen(asked) == _chosen(asked, pixels=[_MANY]) == asked


def test_options_models_and_reports_that_need_tensorflow_get_it(installed, monkeypatch):
  installed("tensorflow", "onnx")
  assert _chosen(refine=5) == _chosen(effort=1) == _chosen(precision="bfloat16") == "tensorflow"
  assert _chosen(model=_GOLDEN) == _chosen(reports=True) == "tensorflow"
  for is_fast, runtime in ((True, "tensorflow"), (False, "onnx")):
    monkeypatch.setattr(runtimes.precisions, "bfloat16_is_fast", lambda is_fast=is_fast: is_fast)
    assert _chosen(precision="auto") == runtime
  monkeypatch.setitem(sys.modules, "tensorflow", sys)  # Its start costs nothing now.
  assert _chosen() == "tensorflow"


def test_what_is_installed_is_taken_and_what_is_missing_named(installed):
  installed("tensorflow")
  assert _chosen() == "tensorflow"
  with pytest.raises(ValueError, match="--runtime=onnx needs ONNX Runtime.*pip install"):
    _chosen("onnx")
  installed("onnx")
  assert _chosen(pixels=[_MANY]) == _chosen(precision="auto", reports=True) == "onnx"
  for name in ("refine", "effort"):
    with pytest.raises(ValueError, match=f"--{name} needs TensorFlow, which is not installed"):
      _chosen(**{name: 5})
  with pytest.raises(ValueError, match="--runtime=tensorflow needs TensorFlow.*x86-64"):
    _chosen("tensorflow")
  installed()
  with pytest.raises(ValueError, match="ONNX Runtime, which is not installed"):
    _chosen()
  installed("tensorflow", "onnx")
  for options in ({"refine": 1}, {"effort": 1}, {"precision": "bfloat16"}):
    with pytest.raises(ValueError, match="needs TensorFlow: leave out --runtime=onnx"):
      _chosen("onnx", **options)


def test_exports_are_for_onnx_runtime_alone(installed, tmp_path):
  """Exports have their weights in the graphs."""
  installed("tensorflow", "onnx")
  shipped = loading.graphs_of(catalogue.find("default")) / "manifest.json"
  fields = json.loads(shipped.read_text())
  fields["graphs"]["g_a"]["weights"] = []
  (tmp_path / "manifest.json").write_text(json.dumps(fields))
  assert _chosen(model=str(tmp_path), pixels=[_MANY], reports=True) == "onnx"
  for options in ({"asked": "tensorflow"}, {"refine": 5}, {"asked": "onnx", "refine": 5}):
    with pytest.raises(ValueError, match="needs TensorFlow, which does not read"):
      _chosen(model=str(tmp_path), **options)


@pytest.mark.parametrize("error", [OSError, ValueError, PIL.Image.DecompressionBombError, KeyError])
def test_files_that_cannot_be_measured_count_nothing(installed, error):
  installed("tensorflow", "onnx")
  jobs = [Job("/there/is/none", "x"), Job("-", "y"), Job(__file__, "z")]
  asked = []

  def refuse(path):
    asked.append(path)
    raise error(path)

  assert runtimes.choose("auto", "", jobs, refuse, False).runtime == "onnx"
  assert asked == [__file__]


def _python(code, *arguments):
  command = [sys.executable, "-c", code, *map(str, arguments)]
  done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  return done.stdout.split()


_CODE = """
import atexit, runpy, sys
atexit.register(lambda: print("tensorflow" in sys.modules, "onnxruntime" in sys.modules))
sys.argv[:] = sys.argv[1:]
runpy.run_module(f"bmshj_minnen.{sys.argv[0]}", run_name="__main__")
"""


def test_programs_and_pillow_import_one_runtime_alone(tmp_path):
  photograph, file = tmp_path / "in.png", tmp_path / "x.tfci"
  image = codecs.photograph(64, 80)
  bmshj_minnen.write_image(str(photograph), image)
  assert _python(_CODE, "compress", photograph, file) == ["False", "True"]
  codec, data = bmshj_minnen.load(), file.read_bytes()
  sent, own = codec.latents(data).y_hat, codec.latents(codec.compress(image)).y_hat
  assert np.mean(sent != own) < 0.01  # Rounding of float networks may differ.
  expected = codec.decompress(data).astype(int)
  for runtime, imported in (("auto", ["False", "True"]), ("tensorflow", ["True", "False"])):
    back = tmp_path / f"{runtime}.png"
    assert _python(_CODE, "decompress", f"--runtime={runtime}", file, back) == imported
    assert np.abs(bmshj_minnen.read_image(back) - expected).max() <= (runtime == "auto")
  code = """
import sys, PIL.Image, bmshj_minnen.pillow
print(len(PIL.Image.open(sys.argv[1]).tobytes()), "tensorflow" in sys.modules)
"""
  assert _python(code, file) == [str(image.size), "False"]
