"""The codec, and both readers, on the conformance vectors; see conformance/README.md."""

import collections
import functools
import hashlib
import json
import pathlib

import jsonschema
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.config import PRIORS
from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError, Problem
from bmshj_minnen.format.graph_reading import unpack_graph
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.runtime.graph import traced

_FOLDER = pathlib.Path(__file__).parent / "conformance"
_INDEX = json.loads((_FOLDER / "index.json").read_text())
_PAYLOAD_END = Problem.PAYLOAD_END.name.lower()  # Found by decoding alone.


def _of_model(entries, model):
  return [entry for entry in _INDEX[entries] if entry["model"] == model]


def _data(entry):
  return (_FOLDER / entry["file"]).read_bytes()


def _directory(model):
  place = _INDEX["models"][model]
  if "directory" in place:
    return _FOLDER / place["directory"]
  return catalogue.find(place["shipped"])


@functools.cache
def _codec(model):
  return bmshj_minnen.load(_directory(model))


def _described(integers):
  exact = integers.astype("<i4")
  np.testing.assert_array_equal(exact, integers)
  return {"shape": list(exact.shape), "sha256": hashlib.sha256(exact.tobytes()).hexdigest()}


def test_the_index_is_as_its_schema_says():
  schema = json.loads((_FOLDER / "schema.json").read_text())
  jsonschema.Draft202012Validator.check_schema(schema)
  jsonschema.Draft202012Validator(schema).validate(_INDEX)
  reasons = schema["properties"]["refused"]["items"]["properties"]["reason"]["enum"]
  assert reasons == [problem.name.lower() for problem in Problem]


def test_the_index_lists_what_is_there():
  listed = [entry["file"] for entries in ("files", "refused") for entry in _INDEX[entries]]
  listed += [entry["pixels"] for entry in _INDEX["files"] if "pixels" in entry]
  found = {p for name in ("files", "refused", "pixels") for p in (_FOLDER / name).iterdir()}
  assert {_FOLDER / path for path in listed} == found and len(found) == len(listed)
  models = _INDEX["models"].values()
  directories = {_FOLDER / place["directory"] for place in models if "directory" in place}
  assert directories == set((_FOLDER / "models").iterdir())
  assert {place["shipped"] for place in models if "shipped" in place} == set(catalogue.names())


def test_the_vectors_cover_the_format():
  config = {
    name: json.loads((_FOLDER / place["directory"] / "config.json").read_text())
    for name, place in _INDEX["models"].items()
    if "directory" in place
  }
  files = [entry for entry in _INDEX["files"] if entry["model"] in config]
  priors = {(config[entry["model"]]["prior"], entry["version"]) for entry in files}
  assert priors == {(prior, version) for prior in PRIORS for version in (1, 2)}
  for prior, version in priors:
    of_both = [
      entry
      for entry in files
      if (config[entry["model"]]["prior"], entry["version"]) == (prior, version)
    ]
    sizes = {(entry["height"], entry["width"]) for entry in of_both}
    assert {(1, 1), (17, 33), (150, 5), (5, 150)} <= sizes
    assert any(entry["exif"] and entry["xmp"] for entry in of_both)
    escapes = set().union(*(entry.get("escapes", ()) for entry in of_both))
    sides = ("y_below", "y_above", *(("z_below", "z_above") if PRIORS[prior].hyperprior else ()))
    assert escapes == set(sides)
    qualities = {entry["quality"] for entry in of_both}
    assert {1, 37.5, 100} <= qualities if version == 2 else qualities == {None}
  counts = collections.Counter(entry["reason"] for entry in _INDEX["refused"])
  assert set(counts) == {problem.name.lower() for problem in Problem}


@pytest.mark.parametrize("model", _INDEX["models"])
def test_files_decode_to_their_latents_and_pixels(model):
  codec = _codec(model)
  assert codec.fingerprint.hex() == _INDEX["models"][model]["fingerprint"]
  with np.load(_directory(model) / "coder.npz") as arrays:
    y_step = float(arrays["y_step"])
  for entry in _of_model("files", model):
    data = _data(entry)
    y_hat, z_hat = codec.latents(data)
    assert _described(y_hat / y_step) == entry["y_hat"], entry["file"]
    assert z_hat.size == 0 if "z_hat" not in entry else _described(z_hat) == entry["z_hat"]
    if "pixels" in entry:
      with PIL.Image.open(_FOLDER / entry["pixels"]) as picture:
        expected = np.asarray(picture).astype(int)
      assert np.abs(codec.decompress(data) - expected).max() <= 1, entry["file"]


@pytest.mark.parametrize("model", sorted({entry["model"] for entry in _INDEX["refused"]}))
def test_bad_files_are_refused_for_their_reason(model, monkeypatch):
  codec = _codec(model)
  for entry in _of_model("refused", model):
    limit = entry.get("max_pixels", reading.DEFAULT_MAX_PIXELS)
    monkeypatch.setattr(codec, "max_pixels", limit)
    with pytest.raises(BitstreamError) as info:
      codec.decompress(_data(entry))
    found = (info.value.problem.name.lower(), info.value.offset)
    assert found == (entry["reason"], entry["offset"]), entry["file"]


def test_readers_in_python_and_in_graphs_agree():
  def read(data, fingerprint, max_pixels, has_quality):
    try:
      header, payload = reading.unpack(data, fingerprint, max_pixels, has_quality)
    except BitstreamError as error:
      return error.problem.name.lower(), str(error)
    payload_start = header.start + header.size
    return None, (header.height, header.width, header.quality or 0.0, payload, payload_start)

  graphs = {}
  for entry in _INDEX["files"] + _INDEX["refused"]:
    fingerprint = bytes.fromhex(_INDEX["models"][entry["model"]]["fingerprint"])
    has_quality = any(file["version"] == 2 for file in _of_model("files", entry["model"]))
    settings = fingerprint, entry.get("max_pixels", reading.DEFAULT_MAX_PIXELS), has_quality
    reason, expected = read(_data(entry), *settings)
    assert reason == entry.get("reason") or (reason, entry["reason"]) == (None, _PAYLOAD_END)
    if settings not in graphs:
      graphs[settings] = traced(
        lambda data, settings=settings: unpack_graph(data, *settings),
        [tf.TensorSpec([], tf.string)],
      )
    parts, refusal = graphs[settings](_data(entry))
    assert bool(refusal.is_due) == (reason is not None), entry["file"]
    if reason:
      assert refusal.message.numpy().decode() == expected
    else:
      assert tuple(part.numpy() for part in parts) == expected
