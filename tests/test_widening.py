"""A model with more latents gives the same results as before from the old latents."""

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.model_files import model_directory, weights, widening
from tests import codecs

_M = codecs.M + 5


def _widen(prior):
  source = codecs.make_model(prior)
  target = bmshj_minnen.Model(widening.widened(source.config, _M))
  initial = weights.to_arrays(target)
  arrays = widening.widen(weights.to_arrays(source), source.config, initial, target.config)
  weights.assign(target, arrays)
  return source, target


@pytest.mark.parametrize("prior", config.PRIORS)
def test_what_is_computed_from_the_old_latents_stays(prior):
  source, target = _widen(prior)
  x = tf.cast(codecs.photograph(128, 64)[None], tf.float32)
  old, new = source.analysis(x), target.analysis(x)
  assert new.shape[-1] == _M
  np.testing.assert_allclose(new[..., : codecs.M], old, rtol=1e-4, atol=1e-4)
  # From here on both get the same numbers, and the new latents any numbers.
  generator = np.random.default_rng(0)
  old = np.round(old.numpy())
  new = np.concatenate([old, generator.normal(size=(*old.shape[:3], 5))], -1).astype(np.float32)
  np.testing.assert_allclose(target.synthesis(new), source.synthesis(old), rtol=1e-3, atol=1)
  if source.y_density is not None:
    bits = target.y_density.bits(new)[..., : codecs.M]
    np.testing.assert_allclose(bits, source.y_density.bits(old), rtol=1e-4, atol=1e-4)
    return
  psi = []
  for model, y in ((source, old), (target, new)):
    z = model.hyper_analysis(y) if model.h_a else None
    psi.append(None if z is None else model.hyper_synthesis(tf.round(z), tf.shape(y)))
  ours, theirs = target.parameters(psi[1], new), source.parameters(psi[0], old)
  for part, expected in zip(ours, theirs):
    np.testing.assert_allclose(part[..., : codecs.M], expected, rtol=1e-3, atol=1e-3)


def test_only_more_latents_count_as_widening():
  model = bmshj_minnen.ModelConfig("joint", 8, 12)
  assert widening.can_widen(model, widening.widened(model, 13))
  for target in (
    model,
    widening.widened(model, 11),
    bmshj_minnen.ModelConfig("joint", 9, 13, h_s_channels=(12, 18)),
    bmshj_minnen.ModelConfig("joint", 8, 13),
    bmshj_minnen.ModelConfig("mean_scale_hyperprior", 8, 13, h_s_channels=(12, 18)),
  ):
    assert not widening.can_widen(model, target)


def test_init_from_widens(tmp_path):
  source, _ = _widen("joint")
  model_directory.save(source, tmp_path, tf.constant(codecs.photograph(128, 128)[None]))
  target = bmshj_minnen.Model(widening.widened(source.config, _M))
  model_directory.load_weights(target, tmp_path)
  np.testing.assert_allclose(
    target.g_s.layers[0].kernel[:, :, : codecs.M], source.g_s.layers[0].kernel, atol=1e-4
  )
  assert not np.any(np.abs(target.g_s.layers[0].kernel[:, :, codecs.M :]) > 1e-6)
