"""The families of the conditional density p(ŷ), by name: the paper's Gaussian, and others.

A family is a density of mean 0 and scale 1, symmetric about its mean. `conditional` moves and
scales it, and convolves it with a unit box; from the same family come the range coder's tables, one
for each of 64 scales. So a family of one's own needs one line:

    entropy.register("student", entropy.Family(lambda **kw: tfp.distributions.StudentT(4.0, **kw)))
"""

import dataclasses
from typing import Callable, Optional

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from bmshj_minnen import checks, config
from bmshj_minnen.format.tables import MAX_VALUE, TAIL_MASS

__all__ = ["Family", "family_of", "register"]


@dataclasses.dataclass(frozen=True)
class Family:
  """A family of densities that are symmetric about `loc`.

  Attributes:
    distribution: makes a distribution of tensorflow-probability from the arguments `loc` and
      `scale`; its cumulative must be exact in float64.
    cdf: the cumulative at scale 1, [...] float32 -> [...] float32, with exact digits on the left
      tail; None: that of `distribution`.
    min_scale: the least of the 64 scales. The likeliest symbol at this scale should have nearly all
      of the mass, because latents that never change cost what is left.
  """

  distribution: Callable[..., tfp.distributions.Distribution]
  cdf: Optional[Callable[[tf.Tensor], tf.Tensor]] = None
  min_scale: float = config.SCALE_MIN

  def exact_cdf(self, x: np.ndarray) -> np.ndarray:
    """The cumulative at scale 1 in float64: [...] -> [...]."""
    one = tf.ones([], tf.float64)
    return self.distribution(loc=0 * one, scale=one).cdf(x).numpy()

  def cumulative(self, x: tf.Tensor) -> tf.Tensor:
    """The cumulative at scale 1, [...] float32 -> [...] float32 in 0..1."""
    if self.cdf is not None:
      return self.cdf(x)
    return self.distribution(loc=0.0, scale=1.0).cdf(x)


_FAMILIES: dict[str, Family] = {}
_SHIPPED = (config.PAPERS_DENSITY, "laplace", "logistic")


def register(name: str, family: Family) -> None:
  """Gives a family to models whose `config.density` is this name.

  A notebook cell may run twice, so a name may be registered again, unless it ships.

  Raises:
    ValueError: the name ships.
  """
  if name in _SHIPPED and name in _FAMILIES:
    raise ValueError(f"the density {name!r} ships: choose another name")
  _FAMILIES[name] = family


def family_of(model_config: config.ModelConfig) -> Family:
  """The family of a model.

  Raises:
    ValueError: no family is registered under `config.density`, or its tails are too heavy.
  """
  name = model_config.density
  checks.registered("density", name, _FAMILIES)
  if name not in _SHIPPED:
    _check_tail(name, _FAMILIES[name])
  return _FAMILIES[name]


def _check_tail(name, family):
  """Tables of whole numbers have all but 2^-16 of the mass, and their values have 16 bits."""
  mass = 2 * float(family.exact_cdf(np.float64(-MAX_VALUE / config.SCALE_MAX)))
  if not mass <= TAIL_MASS:
    raise ValueError(
      f"the density {name!r} has too heavy tails: at scale {config.SCALE_MAX:g}, {mass:.2g} of the "
      f"mass is beyond ±{MAX_VALUE}, where tables of entropy coding end; {TAIL_MASS:.2g} may be"
    )


def _gaussian_cdf(x):
  return 0.5 * tf.math.erfc(x * (-(0.5**0.5)))


def _laplace_cdf(x):
  tail = 0.5 * tf.exp(-tf.abs(x))
  return tf.where(x < 0, tail, 1 - tail)


_tfd = tfp.distributions
# The tails of these two are longer: at 0.04, as for the Gaussian at 0.11, a symbol has all but
# some 2^-18 of the mass.
_LONG_TAIL_MIN_SCALE = 0.04

register(config.PAPERS_DENSITY, Family(_tfd.Normal, _gaussian_cdf))
register("laplace", Family(_tfd.Laplace, _laplace_cdf, _LONG_TAIL_MIN_SCALE))
register("logistic", Family(_tfd.Logistic, tf.sigmoid, _LONG_TAIL_MIN_SCALE))
