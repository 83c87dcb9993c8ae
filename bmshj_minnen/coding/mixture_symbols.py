"""Symbols of a mixture of densities, in integers, for arrays and for tensors.

A mixture has no table for each scale: each symbol has probabilities of its own. They are computed
from integers by integer arithmetic, and coded by questions with two answers. At first a whole
number n lies between -2^15 and 2^15; each question divides that interval [low, high) at a number
`middle`: first near the mean, then in steps that double, and once n is between two numbers, in
their middle. The probability of an answer is a ratio of masses, and one of the stored binary tables
is the nearest to it.
"""

from typing import Any

import numpy as np

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.arrays import namespace
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.mixture_integers import FRACTION_BITS, POSITION_BITS, half_probabilities
from bmshj_minnen.format.tables import MAX_VALUE, PRECISION

__all__ = ["Cumulatives", "MixtureDecoder", "MixtureEncoder"]

_LOW, _HIGH = -MAX_VALUE, MAX_VALUE + 1


class Cumulatives:
  """The integer cumulatives of the mixtures of a prior.

  Args:
    frozen: the prior, with a mixture.
    xp: the namespace of arrays or of tensors.
  """

  def __init__(self, frozen: FrozenPrior, xp: Any):
    mixture, self._xp = frozen.mixture, xp
    self._cumulative = xp.constant(mixture.cumulative, xp.int64)
    self._inverse_scales = xp.constant(mixture.inverse_scales, xp.int64)
    self._exponentials = xp.constant(mixture.exponentials, xp.int64)
    self._last = len(mixture.cumulative) - 1
    self._halves = xp.constant(half_probabilities(_zeros(frozen)), xp.int64)
    self._unit = round(1 / frozen.y_step)

  def prepare(self, logits: Any, means: Any, index: Any) -> Any:
    """Parameters [n, K, C] -> weights, means and inverse scales, [3, K, n C] int64."""
    xp = self._xp
    logits, means, index = (_components_first(xp, x) for x in (logits, means, index))
    below = xp.reduce_max(logits, 0) - logits
    last = xp.shape(self._exponentials)[0] - 1
    weights = xp.gather(self._exponentials, xp.minimum(below, xp.cast(last, xp.int64)))
    return xp.stack([weights, means, xp.gather(self._inverse_scales, index)])

  def center(self, prepared: Any) -> Any:
    """The whole number nearest to the mean of each mixture: [n C] int64."""
    weights, means, _ = prepared[0], prepared[1], prepared[2]
    xp, total = self._xp, self._xp.reduce_sum(weights, 0)
    mean = 2 * xp.reduce_sum(weights * means, 0) + total * self._unit
    return xp.clip_by_value(mean // (2 * total * self._unit), _LOW + 1, _HIGH - 1)

  def below(self, prepared: Any, number: Any) -> Any:
    """The mass below `number` - ½: [3, K, n] int64 and [n] int64 -> [n] int64."""
    xp, (weights, means, inverse_scales) = self._xp, (prepared[0], prepared[1], prepared[2])
    distance = (2 * number - 1) * self._unit - 2 * means
    position = (distance * inverse_scales) // 2**POSITION_BITS
    most = self._last * 2**FRACTION_BITS
    position = xp.clip_by_value(position + most // 2, 0, most - 1)
    place, fraction = position // 2**FRACTION_BITS, position % 2**FRACTION_BITS
    low, high = (xp.gather(self._cumulative, place + i) for i in (0, 1))
    mass = (low * 2**FRACTION_BITS + (high - low) * fraction) // 2**FRACTION_BITS
    return xp.reduce_sum(weights * mass, 0)

  def table(self, prepared: Any, low: Any, middle: Any, high: Any) -> Any:
    """The binary table whose 0 means below `middle`, given [low, high): all [n] int64 -> int32."""
    xp = self._xp
    below = self.below(prepared, low)
    part, whole = (self.below(prepared, x) - below for x in (middle, high))
    # Where no mass is left, both halves are alike.
    is_empty = xp.cast(whole == 0, xp.int64)
    ratio = (part + is_empty) * 2**PRECISION // (whole + 2 * is_empty)
    return xp.cast(xp.searchsorted(self._halves, ratio), xp.int32)


def _zeros(frozen):
  """The probability of 0 in each binary table, which are the last tables; each has five numbers."""
  first = frozen.config.num_filters if frozen.config.parts.hyperprior else 0
  count = len(frozen.tables.escape) - first
  return frozen.tables.cdf[-5 * count :].reshape(count, 5)[:, 2].astype(np.int64)


def _components_first(xp, x):
  """[n, K, C] -> [K, n C] int64."""
  x = xp.cast(xp.transpose(x, [1, 0, 2]), xp.int64)
  return xp.reshape(x, [x.shape[0], -1])


def _middle(low, high, center):
  xp = namespace(low)
  up = xp.minimum(2 * low - center + 1, _HIGH - 1)
  down = xp.maximum(2 * high - center - 1, _LOW + 1)
  middle = xp.where(low == _LOW, down, (low + high) // 2)
  middle = xp.where(high == _HIGH, up, middle)
  return xp.where((low == _LOW) & (high == _HIGH), center, middle)


def _walk(cumulatives, prepared, handle, answer):
  """Asks until each interval has one number.

  Args:
    cumulatives: the `Cumulatives`.
    prepared: [3, K, n] int64.
    handle: the range coder's state.
    answer: handle, tables, middles and the indices of the open intervals -> the next handle, and
      whether each number is its middle or above it.

  Returns:
    The next handle and the numbers, [n] int64.
  """
  center = cumulatives.center(prepared)
  xp = namespace(center)
  low = xp.zeros_like(center) + _LOW
  state = (handle, low, xp.zeros_like(center) + _HIGH)

  def is_open(handle, low, high):
    return xp.reduce_any(high - low > 1)

  def ask(handle, low, high):
    where = xp.flatnonzero(high - low > 1)
    bounds = [xp.gather(x, where) for x in (low, high)]
    middle = _middle(*bounds, xp.gather(center, where))
    parameters = xp.gather_last(prepared, where)
    table = cumulatives.table(parameters, bounds[0], middle, bounds[1])
    handle, is_above = answer(handle, table, middle, where)
    low = xp.tensor_scatter_nd_update(low, where[:, None], xp.where(is_above, middle, bounds[0]))
    high = xp.tensor_scatter_nd_update(high, where[:, None], xp.where(is_above, bounds[1], middle))
    return handle, low, high

  handle, low, _ = xp.while_loop(is_open, ask, state)
  return handle, low


class MixtureEncoder:
  """Rounds y and pushes the answers; see `symbols.Encoder`, whose arguments it shares."""

  def __init__(self, cumulatives: Cumulatives, coder: Any, unit: float, first_table: int, y: Any):
    self._cumulatives, self._coder = cumulatives, coder
    self._unit, self._first_table, self._y = unit, first_table, y

  def __call__(self, handle, logits, means, index, where):
    xp = namespace(means)
    rounded = xp.round(xp.gather(self._y, where) / self._unit)
    rounded = xp.clip_by_value(rounded, -MAX_VALUE, MAX_VALUE)
    value = xp.reshape(xp.cast(rounded, xp.int64), [-1])

    def answer(handle, table, middle, where):
      is_above = xp.gather(value, where) >= middle
      handle = self._coder.push(handle, table + self._first_table, xp.cast(is_above, xp.int32))
      return handle, is_above

    prepared = self._cumulatives.prepare(logits, means, index)
    handle, _ = _walk(self._cumulatives, prepared, handle, answer)
    # Through integers, to avoid -0, which the decoder would not get.
    return handle, fixed_point.saturate(
      xp.cast(xp.cast(rounded, xp.int64), xp.float32) * self._unit
    )


class MixtureDecoder:
  """Pops the answers; see `symbols.Decoder`, whose arguments it shares."""

  def __init__(self, cumulatives: Cumulatives, coder: Any, unit: float, first_table: int):
    self._cumulatives, self._coder = cumulatives, coder
    self._unit, self._first_table = unit, first_table

  def __call__(self, handle, logits, means, index, where):
    xp, shape = namespace(means), namespace(means).shape(means)

    def answer(handle, table, middle, where):
      handle, bit = self._coder.pop(handle, table + self._first_table)
      return handle, bit >= 1

    prepared = self._cumulatives.prepare(logits, means, index)
    handle, value = _walk(self._cumulatives, prepared, handle, answer)
    value = xp.reshape(xp.cast(value, xp.float32), [shape[0], shape[2]])
    return handle, fixed_point.saturate(value * self._unit)
