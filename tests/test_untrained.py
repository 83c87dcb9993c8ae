"""Models without training: latents of a given size, for any name of the last layer of g_a."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen import ModelConfig, layers
from bmshj_minnen.model_files import weights
from experiments import untrained
from tests import codecs

_CONV = tf.keras.layers.Conv2D


class _OneLayer(layers.Networks):
  def g_a(self):
    return _CONV(self.config.latent_channels, 16, 16, "same", bias_initializer="ones")


class _EndsWithPooling(layers.Networks):
  def g_a(self):
    last = _CONV(self.config.latent_channels, 5, 2, "same", bias_initializer="ones")
    return tf.keras.Sequential(
      [_CONV(4, 3, 4, "same", activation="swish"), last, tf.keras.layers.AveragePooling2D()]
    )


class _EndsWithSwish(layers.Networks):
  def g_a(self):
    return _CONV(self.config.latent_channels, 16, 16, "same", activation="swish")


def _model(networks, deviation):
  name = f"test untrained {networks.__name__}"
  layers.register(name)(networks)
  return untrained.model(
    ModelConfig("joint", 4, 6, networks=name), codecs.photograph(64, 96), deviation
  )


@pytest.mark.parametrize("networks", [layers.Networks, _OneLayer, _EndsWithPooling])
@pytest.mark.parametrize("deviation", [untrained.DEVIATION, untrained.LARGE_DEVIATION])
def test_latents_have_the_deviation_that_is_asked_for(networks, deviation):
  model = _model(networks, deviation)
  y = model.analysis(codecs.photograph(64, 96)[None]).numpy()
  assert np.std(y) == pytest.approx(deviation, rel=1e-3)


def test_only_the_scale_of_the_latents_changes():
  small, large = (weights.to_arrays(_model(_EndsWithPooling, d)) for d in (0.5, 2.0))
  for name, array in small.items():
    factor = 4 if name.startswith("g_a/1/") else 1
    np.testing.assert_allclose(large[name], factor * array, rtol=1e-5, err_msg=name)


def test_a_last_layer_that_cannot_scale_latents_is_refused():
  with pytest.raises(ValueError, match="last layer of g_a must be linear"):
    _model(_EndsWithSwish, untrained.LARGE_DEVIATION)
