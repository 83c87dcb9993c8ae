"""A prior is a row of `config.PRIORS`: a new row can be trained, saved and used for coding."""

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.model_files import model_directory, weights, widening
from bmshj_minnen.training import trainer
from tests import codecs

pytestmark = pytest.mark.usefixtures("module_eagerly")
_ROWS = {
  "scales from both": config.Prior(hyperprior=True, context=True),
  "scales from context": config.Prior(context=True, leaky=False),
}


@pytest.fixture(params=_ROWS)
def sixth(request, monkeypatch):
  """The name of a prior that is added to the table."""
  monkeypatch.setitem(config.PRIORS, request.param, _ROWS[request.param])
  return request.param


def test_another_row_is_another_prior(sixth, tmp_path):
  run = trainer.build(
    bmshj_minnen.ModelConfig(sixth, 4, 6),
    bmshj_minnen.TrainConfig(str(tmp_path), crop=64, batch=1),
  )
  model = run.model
  parts = {name for name in ("h_a", "h_s", "g_cm", "g_ep", "y_density") if getattr(model, name)}
  sides = {"h_a", "h_s"} if _ROWS[sixth].hyperprior else set()
  assert parts == {"g_cm", "g_ep"} | sides
  x = tf.constant(codecs.photograph(64, 64)[None], tf.float32)
  before = weights.to_arrays(model)
  run.gradient_step(x)
  after = weights.to_arrays(model)
  assert all((before[name] != after[name]).any() for name in after if name.endswith("kernel"))
  after["g_a/3/bias"] = np.linspace(-3, 3, 6, dtype=np.float32)  # Latents that are not all zero.
  weights.assign(model, after)
  model_directory.save(model, tmp_path, x)
  # Saved by its name alone.
  loaded, codec = bmshj_minnen.load_model(tmp_path), bmshj_minnen.load(tmp_path)
  assert loaded.config == codec.config == model.config
  data, sent = codec.compress_with_latents(codecs.photograph(50, 70))
  received = codec.latents(data)
  assert sent.y_hat.tobytes() == received.y_hat.tobytes()
  # Without means latents are rounded directly.
  y = codec.graphs.analyze(codecs.photograph(50, 70))[0].numpy()
  np.testing.assert_array_equal(sent.y_hat, np.round(y))
  assert np.ptp(sent.y_hat) > 3
  z_hat = sent.z_hat[None] if _ROWS[sixth].hyperprior else None
  rate = loaded.rate(sent.y_hat[None], z_hat)
  bits = float(rate.y_bits[0] + rate.z_bits[0])
  assert abs(8 * len(data) - bits) < 0.01 * bits + 8 * 32


def test_more_latents_of_another_row(sixth):
  source = codecs.make_model(sixth)
  target = bmshj_minnen.Model(widening.widened(source.config, codecs.M + 5))
  initial = weights.to_arrays(target)
  arrays = widening.widen(weights.to_arrays(source), source.config, initial, target.config)
  weights.assign(target, arrays)
  y_hat = tf.random.stateless_normal([1, 4, 8, codecs.M], [0, 0])
  padded = tf.pad(y_hat, [[0, 0], [0, 0], [0, 0], [0, 5]])
  z_hat = tf.random.stateless_normal([1, 1, 2, codecs.N], [0, 1])
  psi = [
    model.hyper_synthesis(z_hat, [1, 4, 8]) if model.h_s else None for model in (source, target)
  ]
  _, scale = source.parameters(psi[0], y_hat)
  _, of_target = target.parameters(psi[1], padded)
  np.testing.assert_allclose(of_target[..., : codecs.M], scale, rtol=1e-4)
  assert np.ptp(scale) > 0.01
