"""The codec in a web page: its JavaScript under Node, and the site that `export` writes."""

import json
import os
import re
import shutil

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen import portable
from bmshj_minnen.model_files.codec_files import read_prior, read_weights
from tests import codecs
from tests.web import node

pytest.importorskip("onnx", reason="needs the extra `onnx`")
from bmshj_minnen.web import onnxruntime, site  # noqa: E402

_VECTORS = node.ROOT / "tests" / "conformance"
_MOST_BYTES = 16_000_000


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
  """The site of the default model."""
  return site.export("default", tmp_path_factory.mktemp("site") / "site")


def _description(folder):
  return json.loads((folder / "site.json").read_text("utf-8"))


@pytest.mark.parametrize("name", ["parts", "conformance"])
def test_the_javascript_under_node(name):
  """Each part against values that were computed in another way; all conformance vectors."""
  output = node.run("--test", "--test-reporter=tap", f"tests/web/{name}.test.mjs")
  assert int(re.search(r"^# pass (\d+)$", output, re.MULTILINE)[1]) >= 10


def test_types_are_right():
  compiler = node.package("typescript") / "bin" / "tsc"
  node.run(compiler, "-p", "bmshj_minnen/web/tsconfig.json")


def test_versions_of_onnxruntime_web_agree(tmp_path):
  packages = json.loads((node.ROOT / "bmshj_minnen" / "web" / "package.json").read_text("utf-8"))
  assert packages["dependencies"]["onnxruntime-web"] == onnxruntime.VERSION
  assert onnxruntime.VERSION in onnxruntime.CDN
  node.package("onnxruntime-web")
  onnxruntime.copy(node.RUNTIME, tmp_path)
  assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {
    name: pinned.size for name, pinned in onnxruntime.FILES.items()
  }


def test_another_onnxruntime_web_is_refused(tmp_path):
  with pytest.raises(ValueError, match="has no ort"):
    onnxruntime.copy(tmp_path, tmp_path)
  for name in onnxruntime.FILES:
    (tmp_path / name).write_bytes(b"other")
  with pytest.raises(ValueError, match="another version"):
    site.export("default", tmp_path / "site", tmp_path)
  assert not (tmp_path / "site").exists() and not (tmp_path / "site.tmp").exists()


def test_the_site_has_all_that_it_names(shipped):
  description, page = _description(shipped), (shipped / "index.html").read_text("utf-8")
  assert "{{" not in page
  for address in re.findall(r'(?:src|href)="([^":]+)"', page):
    assert (shipped / address).is_file(), address
  for module in shipped.glob("*/*.js"):
    text = module.read_text("utf-8")
    for address in re.findall(r'(?:from|import\(|URL\()\s*"(\.[^"]+\.\w+)"', text):
      assert (module.parent / address).is_file(), f"{module.name} imports {address}"
  listed = [description["coder"], *description["graphs"].values()]
  assert {path.name for path in (shipped / "model").iterdir()} == {
    entry["file"].rpartition("/")[2] for entry in listed
  }
  sizes = [(shipped / entry["file"]).stat().st_size for entry in listed]
  assert sizes == [entry["bytes"] for entry in listed]
  assert sum(sizes) <= _MOST_BYTES
  assert (shipped / description["example"]).is_file()
  for way in description["runtime"].values():
    for entry in way.values():
      assert entry["file"].startswith(onnxruntime.CDN)
      assert entry["integrity"] == onnxruntime.FILES[entry["file"].rpartition("/")[2]].integrity


def test_weights_are_those_of_the_model(shipped):
  """Half precision for those that it holds exactly, or else single."""
  import onnx
  from onnx import numpy_helper

  directory = site.catalogue.find("default")
  weights = read_weights(directory, read_prior(directory).fingerprint, ("g_a", "h_a", "g_s"))
  found = {}
  for entry in _description(shipped)["graphs"].values():
    graph = onnx.load(str(shipped / entry["file"])).graph
    found |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
  for name, array in weights.items():
    assert found[f"{name}/16"].dtype == np.float16
    np.testing.assert_array_equal(found[f"{name}/16"], array)


def test_an_existing_output_and_other_networks_are_refused(shipped, tmp_path):
  with pytest.raises(ValueError, match="exists"):
    site.export("default", shipped)
  _, prior = codecs.make_codec("joint", tmp_path)
  model = tmp_path / "joint"
  assert site.read_prior(model).config == prior.config
  config = json.dumps({**json.loads(str(_arrays(model)["config"])), "networks": "other"})
  np.savez_compressed(model / "coder.npz", **{**_arrays(model), "config": np.array(config)})
  with pytest.raises(ValueError, match="networks"):
    site.export(str(model), tmp_path / "site")
  assert not (tmp_path / "site").exists()


def test_a_model_with_a_damaged_graph_is_refused(tmp_path):
  model = shutil.copytree(site.catalogue.find("default"), tmp_path / "model")
  path = model / "onnx" / "g_s.onnx"
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(ValueError, match=f"^{path} is damaged: export the model"):
    site.export(str(model), tmp_path / "site")
  assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def _arrays(model):
  with np.load(model / "coder.npz") as arrays:
    return dict(arrays)


def _jobs(folder, *jobs, memory=None):
  environment = {**os.environ, **({} if memory is None else {"WEB_MEMORY": str(memory)})}
  node.run("tests/web/codec.mjs", node.RUNTIME, folder, *jobs, env=environment)


def test_files_cross_both_ways(shipped, tmp_path):
  """Files of Python and of JavaScript give the same ŷ, and pixels within one level."""
  node.package("onnxruntime-web")
  codec = portable.load()
  image = codecs.photograph(71, 90)
  (tmp_path / "image.rgb").write_bytes(image.tobytes())
  (tmp_path / "python.tfci").write_bytes(codec.compress(image, quality=37.5))
  most = 1200
  encode = ("encode", tmp_path / "image.rgb", 71, 90)
  _jobs(
    shipped,
    *("decode", tmp_path / "python.tfci", tmp_path / "python.rgb"),
    *(*encode, 37.5, tmp_path / "page.tfci"),
    *(*encode, f"{most}b", tmp_path / "small.tfci"),
    *("decode", tmp_path / "page.tfci", tmp_path / "page.rgb"),
  )
  for name in ("python", "page"):
    found = np.frombuffer((tmp_path / f"{name}.rgb").read_bytes(), np.uint8).reshape(image.shape)
    _assert_within_a_level(found, codec.decompress((tmp_path / f"{name}.tfci").read_bytes()))
  # g_a is rounded in another way, which few latents show.
  latents = [codec.latents((tmp_path / f"{name}.tfci").read_bytes()) for name in ("python", "page")]
  assert np.mean(latents[0].y_hat != latents[1].y_hat) < 1e-3
  small = (tmp_path / "small.tfci").read_bytes()
  assert abs(len(small) - len(codec.compress(image, bytes=most))) <= 12 and len(small) <= most


def _assert_within_a_level(found, expected):
  difference = np.abs(found.astype(int) - expected)
  assert difference.max() <= 1 and np.mean(difference) < 1e-3


def test_tiles_change_nothing_but_rounding(shipped, tmp_path):
  node.package("onnxruntime-web")
  codec = portable.load()
  image = codecs.photograph(400, 330)
  data = codec.compress(image, quality=30)
  (tmp_path / "image.rgb").write_bytes(image.tobytes())
  (tmp_path / "python.tfci").write_bytes(data)
  _jobs(
    shipped,
    *("decode", tmp_path / "python.tfci", tmp_path / "python.rgb"),
    *("encode", tmp_path / "image.rgb", 400, 330, 30, tmp_path / "page.tfci"),
    memory=1,  # The smallest tiles.
  )
  found = np.frombuffer((tmp_path / "python.rgb").read_bytes(), np.uint8).reshape(image.shape)
  _assert_within_a_level(found, codec.decompress(data))
  latents = codec.latents((tmp_path / "page.tfci").read_bytes())
  assert np.mean(latents.y_hat != codec.latents(data).y_hat) < 1e-3


def test_pictures_of_a_small_model(tmp_path):
  """A model without graphs, whose weights half precision does not hold."""
  node.package("onnxruntime-web")
  name = "factorized_medians_gains"
  index = json.loads((_VECTORS / "index.json").read_text("utf-8"))
  folder = site.export(str(_VECTORS / "models" / name), tmp_path / "site")
  entries = [e for e in index["files"] if e["model"] == name and "pixels" in e]
  jobs = [("decode", _VECTORS / e["file"], tmp_path / f"{i}.rgb") for i, e in enumerate(entries)]
  _jobs(folder, *(part for job in jobs for part in job))
  for i, entry in enumerate(entries):
    expected = np.asarray(PIL.Image.open(_VECTORS / entry["pixels"]).convert("RGB"))
    found = np.frombuffer((tmp_path / f"{i}.rgb").read_bytes(), np.uint8)
    _assert_within_a_level(found.reshape(expected.shape), expected)
  assert entries
