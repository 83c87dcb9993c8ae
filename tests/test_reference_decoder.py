"""A decoder written from FORMAT.md alone, in NumPy, reads the conformance vectors."""

import ast
import hashlib
import json
import pathlib

import numpy as np
import PIL.Image
import pytest

from tests import reference_decoder

_FOLDER = pathlib.Path(__file__).parent / "conformance"
_PRETRAINED = pathlib.Path(__file__).parents[1] / "bmshj_minnen" / "pretrained"
_INDEX = json.loads((_FOLDER / "index.json").read_text())
_LARGE = 2**20  # Pixels. Their float64 activations take too much memory for a test.


@pytest.fixture(scope="module")
def models():
  return {
    name: reference_decoder.read_model(
      _FOLDER / place["directory"] if "directory" in place else _PRETRAINED / place["shipped"]
    )
    for name, place in _INDEX["models"].items()
  }


def _data(entry):
  return (_FOLDER / entry["file"]).read_bytes()


def _described(integers):
  if integers is None:
    return None
  data = integers.astype("<i4").tobytes()
  return {"shape": list(integers.shape), "sha256": hashlib.sha256(data).hexdigest()}


def test_it_needs_nothing_but_numpy():
  tree = ast.parse(pathlib.Path(reference_decoder.__file__).read_text())
  names = set()
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names.add("." * node.level + (node.module or ""))
  assert names == {"numpy", "bisect", "hashlib", "json", "os", "typing"}
  called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
  assert not called & {"__import__", "eval", "exec"}


def test_fingerprints_are_those_of_the_index(models):
  found = {name: model.fingerprint.hex() for name, model in models.items()}
  assert found == {name: place["fingerprint"] for name, place in _INDEX["models"].items()}


def test_files_decode_to_their_latents_and_pixels(models):
  for entry in _INDEX["files"]:
    data, model = _data(entry), models[entry["model"]]
    picture = reference_decoder.read_file(data, model)
    header = {
      "version": picture.version,
      "height": picture.height,
      "width": picture.width,
      "quality": picture.quality,
      "exif": picture.exif.hex(),
      "xmp": picture.xmp.hex(),
    }
    assert header == {name: entry[name] for name in header}, entry["file"]
    if picture.height * picture.width <= _LARGE:
      y, z, pixels = reference_decoder.decode(data, model)
      assert pixels.shape == (picture.height, picture.width, 3), entry["file"]
    else:
      # Pixels of `one_channel.two_steps` are not computed; the index does not have them either.
      y, z = reference_decoder.decode_latents(picture, model)
    assert _described(y) == entry["y_hat"], entry["file"]
    assert _described(z) == entry.get("z_hat"), entry["file"]
    if "pixels" in entry:
      with PIL.Image.open(_FOLDER / entry["pixels"]) as image:
        expected = np.asarray(image).astype(int)
      assert np.abs(pixels - expected).max() <= 1, entry["file"]


def test_bad_files_are_refused_for_their_reason(models):
  for entry in _INDEX["refused"]:
    max_pixels = entry.get("max_pixels", reference_decoder.MAX_PIXELS)
    with pytest.raises(reference_decoder.FormatError) as info:
      reference_decoder.decode(_data(entry), models[entry["model"]], max_pixels)
    assert info.value.reason == entry["reason"], entry["file"]
