"""Quality as a dial: the λ of a quality, and the gains of a model there."""

from typing import Any

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding.bitstream import QUALITIES
from bmshj_minnen.config import ModelConfig
from bmshj_minnen.layers.gains import Gains

__all__ = ["DEFAULT_QUALITY", "Dial", "lambda_of", "lambdas_of"]

DEFAULT_QUALITY = 50


def lambda_of(quality: float, config: ModelConfig) -> float:
  """λ of a quality: 1 is the lowest λ of the model, 100 the highest, log-linear between them.

  There are whole and half qualities, `bitstream.QUALITIES`.

  Raises:
    ValueError: the model has one rate, or there is no such quality.
  """
  if not config.gain_lambdas:
    raise ValueError("this model has one rate: leave the quality out, or take a model with gains")
  if quality not in QUALITIES:
    raise ValueError(f"the quality must be 1 to 100, whole or with a half, not {quality:g}")
  return lambdas_of(quality, config)


def lambdas_of(quality: Any, config: ModelConfig) -> Any:
  """`lambda_of` without checks, of a number, an array or a tensor."""
  return config.lambda_at((quality - QUALITIES[0]) / (QUALITIES[-1] - QUALITIES[0]))


class Dial:
  """Gains of a model with weights that do not change.

  Args:
    config: of a model with gains.
    weights: its arrays, named as in `bmshj_minnen.model_files.weights`.
  """

  def __init__(self, config: ModelConfig, weights: dict[str, np.ndarray]):
    gains = Gains(config.latent_channels, config.gain_lambdas)
    gains.log_gain.assign(weights["gains/log_gain"])
    gains.log_inverse.assign(weights["gains/log_inverse"])
    lambdas = np.array([lambda_of(quality, config) for quality in QUALITIES], np.float32)
    self._gains = gains.gain(lambdas).numpy()[:, 0, 0]
    self._inverses = gains.inverse(lambdas).numpy()[:, 0, 0]

  def gain(self, quality: float) -> np.ndarray:
    """What y is multiplied by: [M] float32."""
    return self._gains[QUALITIES.index(quality)]

  def inverse(self, quality: float) -> np.ndarray:
    """What ŷ is multiplied by before g_s: [M] float32."""
    return self._inverses[QUALITIES.index(quality)]

  def gain_of(self, quality: tf.Tensor) -> tf.Tensor:
    """`gain` of a scalar float32, within a graph."""
    return tf.gather(self._gains, _index(quality))

  def inverse_of(self, quality: tf.Tensor) -> tf.Tensor:
    """`inverse` of a scalar float32, within a graph."""
    return tf.gather(self._inverses, _index(quality))


def _index(quality):
  """Of one of `QUALITIES`, a scalar float32: 1, 1½, 2 … -> 0, 1, 2 …."""
  return tf.cast(2 * (tf.cast(quality, tf.float32) - QUALITIES[0]), tf.int32)
