"""Latents without TensorFlow: the conformance vectors and the golden files, in NumPy alone."""

import functools
import hashlib
import json
import pathlib

import numpy as np
import pytest

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError, Problem
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.model_files.codec_files import read_prior
from bmshj_minnen.portable.loading import array_coder

_FOLDER = pathlib.Path(__file__).parents[1]
_VECTORS = _FOLDER / "conformance"
_INDEX = json.loads((_VECTORS / "index.json").read_text())
_OF_NO_ENCODER = ("all_ones.tfci", "half_a_payload.tfci", "payload_and_zeros.tfci")
_GOLDEN = {
  "factorized": "215f79c3ca43e4f8d3edab773e365c92d3857857a8395a2f310d88ee44508973",
  "mean_scale_hyperprior": "f69ce73861be0f878ac5f96769167cbd118f624a82efbc0d383b53f15c8c4bdf",
  "joint": "f1b10559c2888386dbf671f7f2f68cc9bb086933a9bbf3fc754c79783a3c2648",
  "converted": "05a5af4377312077294299d6ef7b59142ac7d7c919bb65774b1d3708f16fd455",
}


@functools.cache
def _model(directory):
  prior = read_prior(directory)
  return prior, LatentCoder(prior, array_coder(prior))


def _of_index(name):
  place = _INDEX["models"][name]
  shipped = place.get("shipped")
  return _model(catalogue.find(shipped) if shipped else _VECTORS / place["directory"])


def _decode(prior, coder, data, **options):
  """ŷ, ẑ and the payload; refuses a wrong end like `Codec`."""
  has_quality = prior.config.gain_lambdas is not None
  header, payload = reading.unpack(data, prior.fingerprint, has_quality=has_quality, **options)
  size = map(cfg.latent_size, (header.height, header.width))
  y_hat, z_hat, whole = coder.decode(payload, *size)
  if not whole:
    raise BitstreamError(Problem.PAYLOAD_END, 0, "", "")
  return y_hat, z_hat, payload


def _described(integers):
  exact = integers.astype("<i4")
  np.testing.assert_array_equal(exact, integers)
  return {"shape": list(exact.shape), "sha256": hashlib.sha256(exact.tobytes()).hexdigest()}


@pytest.mark.parametrize("name", _INDEX["models"])
def test_vectors_decode_to_their_latents_and_back_to_their_payload(name):
  prior, coder = _of_index(name)
  for entry in (entry for entry in _INDEX["files"] if entry["model"] == name):
    data = (_VECTORS / entry["file"]).read_bytes()
    y_hat, z_hat, payload = _decode(prior, coder, data)
    assert _described(y_hat / prior.y_step) == entry["y_hat"], entry["file"]
    assert z_hat.size == 0 if "z_hat" not in entry else _described(z_hat) == entry["z_hat"]
    if not entry["file"].endswith(_OF_NO_ENCODER):
      again, same = coder.encode(y_hat, z_hat)
      assert again == payload and same.tobytes() == y_hat.tobytes(), entry["file"]


@pytest.mark.parametrize("entry", _INDEX["refused"], ids=lambda entry: entry["file"])
def test_bad_vectors_are_refused(entry):
  prior, coder = _of_index(entry["model"])
  limit = entry.get("max_pixels", reading.DEFAULT_MAX_PIXELS)
  with pytest.raises(BitstreamError) as info:
    _decode(prior, coder, (_VECTORS / entry["file"]).read_bytes(), max_pixels=limit)
  assert info.value.problem.name.lower() == entry["reason"]


@pytest.mark.parametrize("name", _GOLDEN)
def test_golden_files_decode_to_their_latents(name):
  data = (_FOLDER / "golden" / f"{name}.tfci").read_bytes()
  y_hat, z_hat, _ = _decode(*_model(_FOLDER / "golden" / name), data)
  assert hashlib.sha256(y_hat.tobytes() + z_hat.tobytes()).hexdigest() == _GOLDEN[name]


def test_a_library_with_inexact_products_is_refused(monkeypatch, caplog):
  directory, matmul = _FOLDER / "golden" / "joint", np.matmul
  data = (_FOLDER / "golden" / "joint.tfci").read_bytes()
  expected, _, _ = _decode(*_model(directory), data)

  def reduced(a, b):
    """Rounds like TF32: float32 operands keep 10 bits of the mantissa."""
    if a.dtype == np.float32:
      a, b = ((np.ascontiguousarray(x).view(np.int32) & -(2**13)).view(np.float32) for x in (a, b))
    return matmul(a, b)

  monkeypatch.setattr(np, "matmul", reduced)
  prior = read_prior(directory)
  coder = LatentCoder(prior, array_coder(prior))
  assert "float32 are not exact" in caplog.text
  np.testing.assert_array_equal(_decode(prior, coder, data)[0], expected)
  monkeypatch.setattr(np, "matmul", lambda a, b: matmul(a, b) + 1)
  with pytest.raises(RuntimeError, match="cannot be coded here"):
    array_coder(prior)
