"""Qualities, with the λ, the byte and the gains of each; TensorFlow is not needed.

A model for many rates has whole and half qualities from 1, its lowest λ and smallest files, to 100,
its highest λ; λ is log-linear between them. A model for one rate has no quality. In a file a
quality is one byte: 1 to 100 are the whole qualities, 101 to 199 are 1½ to 99½.
"""

from typing import Any, Optional

import numpy as np

from bmshj_minnen import checks
from bmshj_minnen.config import ModelConfig

__all__ = [
  "BYTES",
  "DEFAULT_QUALITY",
  "QUALITIES",
  "Dial",
  "check_quality",
  "default_lambda",
  "lambda_of",
]

QUALITIES = tuple(i / 2 for i in range(2, 201))  # 1, 1½, … 100.
DEFAULT_QUALITY = 50.0
_HALF = 100  # Added to the byte of a whole quality for the half quality above it.
# The byte of each of `QUALITIES` in a file.
BYTES = tuple(int(quality) + _HALF * (quality % 1 > 0) for quality in QUALITIES)
_RANGE = f"{QUALITIES[0]:g} to {QUALITIES[-1]:g}, whole or with a half"


def check_quality(quality: Optional[float], config: ModelConfig) -> Optional[float]:
  """The quality at which a model codes: the given one, or the default; None for one rate.

  Raises:
    TypeError: the quality is not a number.
    ValueError: the quality does not exist, or is given for a model for one rate.
  """
  if not config.gain_lambdas:
    if quality is not None:
      raise ValueError("this model has one rate: leave the quality out, or take a model with gains")
    return None
  if quality is None:
    return DEFAULT_QUALITY
  quality = checks.number("quality", quality, _RANGE)
  if quality not in QUALITIES:
    raise ValueError(f"the quality must be {_RANGE}, not {quality:g}")
  return quality


def lambda_of(quality: Any, config: ModelConfig) -> Any:
  """λ of a quality of a model for many rates, or [...] of an array or a tensor of qualities."""
  return config.lambda_at((quality - QUALITIES[0]) / (QUALITIES[-1] - QUALITIES[0]))


def default_lambda(config: ModelConfig) -> float:
  """λ of the default quality of a model for many rates."""
  return lambda_of(DEFAULT_QUALITY, config)


class Dial:
  """The gains of a model at each of `QUALITIES`, interpolated as in `layers.Gains`.

  Args:
    config: config of a model with gains.
    log_gain, log_inverse: its weights [L, M], natural logarithms at the L `gain_lambdas`.

  Attributes:
    gains: [199, M] float32, factors of y.
    inverses: [199, M] float32, factors of ŷ before g_s.
  """

  def __init__(self, config: ModelConfig, log_gain: np.ndarray, log_inverse: np.ndarray):
    knots = np.log(config.gain_lambdas)
    at = np.log(lambda_of(np.array(QUALITIES), config))
    self.gains, self.inverses = (
      np.exp([np.interp(at, knots, channel) for channel in table.T]).T.astype(np.float32, order="C")
      for table in (log_gain, log_inverse)
    )

  def gain(self, quality: float) -> np.ndarray:
    """The gains of y at one of `QUALITIES`, [M] float32."""
    return self.gains[QUALITIES.index(quality)]

  def inverse(self, quality: float) -> np.ndarray:
    """The inverse gains of ŷ at one of `QUALITIES`, [M] float32."""
    return self.inverses[QUALITIES.index(quality)]
