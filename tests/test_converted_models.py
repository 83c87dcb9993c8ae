"""The stock SavedModel's g_s in runtimes that convert it: LiteRT and, if installed, OpenVINO."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.serving.stock_module import StockModule
from tests import codecs


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory):
  """A SavedModel of `synthesis` alone, made by the steps in BUILD.md; ŷ and its pixels."""
  folder = tmp_path_factory.mktemp("converted")
  # Only the other signatures have a prior.
  stock = StockModule(codecs.make_model("factorized", gain_lambdas=(0.002, 0.128)))
  tf.saved_model.save(stock, str(folder / "stock"), signatures=stock.signatures())
  stock = tf.saved_model.load(str(folder / "stock"))
  signature = stock.signatures["synthesis"]
  tf.saved_model.save(stock, str(folder / "synthesis"), signatures=signature)
  y_hat = np.random.default_rng(0).normal(0, 9, [2, 5, 3, codecs.M]).astype(np.float32)
  pixels = signature(y_hat=tf.constant(y_hat))["pixels"].numpy()
  assert np.ptp(pixels) > 30  # Pictures, not a grey plane.
  return folder / "synthesis", y_hat, pixels


def _assert_alike(found, expected):
  """Checks equality up to rounding of few samples."""
  assert found.dtype == np.uint8 and found.shape == expected.shape
  off = np.abs(found.astype(int) - expected)
  assert off.max() <= 1 and np.mean(off) < 0.01


def test_litert_computes_the_same(synthesis):
  folder, y_hat, expected = synthesis
  model = tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()
  run = tf.lite.Interpreter(model_content=model).get_signature_runner()
  _assert_alike(run(y_hat=y_hat)["pixels"], expected)


def test_openvino_computes_the_same(synthesis):
  openvino = pytest.importorskip("openvino")
  folder, y_hat, expected = synthesis
  # By default OpenVINO multiplies in bfloat16 on processors that have it.
  options = {"INFERENCE_PRECISION_HINT": "f32"}
  model = openvino.compile_model(openvino.convert_model(folder), "CPU", options)
  _assert_alike(model(y_hat)[0], expected)
