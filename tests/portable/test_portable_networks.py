"""The autoregressive step in ONNX Runtime, against the networks in NumPy that are proved exact."""

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.model_files.codec_files import read_prior
from bmshj_minnen.portable import loading, manifest
from bmshj_minnen.portable.onnx_networks import OnnxNetworks
from bmshj_minnen.portable.sessions import Sessions


def _pair():
  directory = catalogue.find("joint-mse")
  prior, folder = read_prior(directory), loading.graphs_of(directory)
  # Products of integers below 2^53 do not round in float64.
  return (
    OnnxNetworks(folder, manifest.read(folder), prior, "float32"),
    IntegerNetworks(prior, "float64"),
  )


@pytest.mark.parametrize("peak", [1, 200, 5000, 2**15])
def test_steps_give_the_integers_of_float64(peak, caplog):
  own, reference = _pair()
  random = np.random.default_rng(peak)
  for rows in (0, 1, 11, 40):
    sizes = own.input_sizes
    psi, y = (random.integers(-peak, peak, [rows, n]).astype(np.float32) for n in sizes)
    if rows:
      psi[0], y[0] = peak - 1, -peak
    found, expected = (
      networks.parameters(networks.prepare(psi), networks.split(y)) for networks in (own, reference)
    )
    for array, wanted in zip(found, expected):
      assert array.dtype == wanted.dtype and array.shape == wanted.shape
      np.testing.assert_array_equal(array, wanted)
  assert "not exact" not in caplog.text


def test_steps_of_a_runtime_that_rounds_are_computed_in_numpy(monkeypatch, caplog):
  run = Sessions.run

  def rounded(self, name, inputs):
    mean, table_index = run(self, name, inputs)
    bits = np.ascontiguousarray(mean).view(np.int32) & -(2**16)  # bfloat16.
    return bits.view(np.float32), table_index

  monkeypatch.setattr(Sessions, "run", rounded)
  own, reference = _pair()
  assert "Matrix products of ONNX Runtime are not exact here" in caplog.text
  psi, y = (np.full([3, n], 77, np.float32) for n in own.input_sizes)
  for found, expected in zip(
    own.parameters(own.prepare(psi), own.split(y)),
    reference.parameters(reference.prepare(psi), reference.split(y)),
  ):
    np.testing.assert_array_equal(found, expected)
