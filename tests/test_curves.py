"""Bjøntegaard rates against their definition, and curves as careless hands give them."""

import math
import random
import warnings

import numpy as np
import pytest
from scipy import integrate

from bmshj_minnen.evaluation import cautions, curves, rate_tables

_ANCHOR = [(0.12, 27.9), (0.25, 30.4), (0.47, 32.7), (0.81, 35.6), (1.3, 38.1)]
_TEST = [(0.1, 28.3), (0.2, 30.6), (0.5, 33.9), (0.9, 36.9)]


def _slopes(x, y):
  """Slopes of monotone cubics (Fritsch and Butland, 1984): weighted harmonic means of the secants.

  At an end: the parabola through three points, bounded so that the curve stays monotone.
  """
  step, secant = np.diff(x), np.diff(y) / np.diff(x)
  if len(x) == 2:
    return np.repeat(secant, 2)
  left, right = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
  inner = (left + right) / (left / secant[:-1] + right / secant[1:])
  inner = np.where(secant[:-1] * secant[1:] > 0, inner, 0)

  def end(h0, h1, d0, d1):
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
      return 0.0
    return 3 * d0 if d0 * d1 < 0 and abs(slope) > 3 * abs(d0) else slope

  first = end(step[0], step[1], secant[0], secant[1])
  last = end(step[-1], step[-2], secant[-1], secant[-2])
  return np.concatenate([[first], inner, [last]])


def _log_rate(points):
  """Log rate as a function of the quality, by the Hermite basis, from points that increase."""
  y, x = np.log([p[0] for p in points]), np.array([p[1] for p in points])
  slopes = _slopes(x, y)

  def at(quality):
    i = min(max(np.searchsorted(x, quality) - 1, 0), len(x) - 2)
    h = x[i + 1] - x[i]
    t = (quality - x[i]) / h
    return (
      (1 + 2 * t) * (1 - t) ** 2 * y[i]
      + t * (1 - t) ** 2 * h * slopes[i]
      + t**2 * (3 - 2 * t) * y[i + 1]
      + t**2 * (t - 1) * h * slopes[i + 1]
    )

  return at


def _reference_rate(anchor, test):
  """Bjøntegaard's mean of the difference of log rates, by quadrature."""
  low = max(anchor[0][1], test[0][1])
  high = min(anchor[-1][1], test[-1][1])
  ours, theirs = _log_rate(test), _log_rate(anchor)
  knots = [quality for _, quality in anchor + test if low < quality < high]
  area, _ = integrate.quad(lambda q: ours(q) - theirs(q), low, high, points=knots, limit=200)
  return 100 * (math.exp(area / (high - low)) - 1)


def _rate(anchor, test):
  return curves.bd_rate(curves.curve(anchor), curves.curve(test))


@pytest.mark.parametrize("count", [3, 4])
def test_rates_follow_their_definition(count):
  assert _rate(_ANCHOR, _TEST[:count]) == pytest.approx(
    _reference_rate(_ANCHOR, _TEST[:count]), abs=1e-6
  )
  assert _rate(_TEST[:count], _ANCHOR) == pytest.approx(
    _reference_rate(_TEST[:count], _ANCHOR), abs=1e-6
  )


def test_neither_order_nor_repetition_nor_useless_points_change_a_rate():
  expected = _rate(_ANCHOR, _TEST)
  careless = [*_TEST, *_TEST, (0.55, 33.9), (0.95, 30.0), (0.2, 30.1), (2.0, math.inf)]
  for seed in range(5):
    random.Random(seed).shuffle(careless)
    assert _rate(_ANCHOR, careless) == expected


def test_a_dip_is_left_out_not_followed():
  """Quality falls from 0.5 to 0.6 bpp: nobody would take 0.6."""
  dip = [(0.1, 28.3), (0.2, 30.6), (0.5, 33.9), (0.6, 33.0), (0.9, 36.9)]
  assert _rate(_ANCHOR, dip) == _rate(_ANCHOR, _TEST)
  falling = [(0.2, 36.0), (0.4, 34.0), (0.8, 32.0)]  # Only its first point is of use.
  assert math.isnan(_rate(_ANCHOR, falling))


@pytest.mark.parametrize(
  "points", [[], [(0.3, 33.0)], [(0.3, 33.0), (0.5, 33.2)], [(0.1, 20.0), (0.2, 28.3)]]
)
def test_no_rate_without_half_a_decibel_in_common(points):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert math.isnan(_rate(_ANCHOR, points)) and math.isnan(_rate(points, _ANCHOR))
  named = {"all": curves.curve(_ANCHOR), "odd": curves.curve(points)}
  text = rate_tables.bjontegaard(named, ["odd"], ["all"], "psnr")
  assert "| odd | – |" in text and "No rate (–) where less than 0.5 dB" in text


def test_no_rate_between_two_points():
  """The straight line of two points may be twice as far off as the codecs are apart."""
  named = {"two": curves.curve(_TEST[:2]), "three": curves.curve(_TEST[:3])}
  named["three with a dip"] = curves.curve([*_TEST[:2], (1.0, 29.0)])
  named["all"] = curves.curve(_ANCHOR)
  text = rate_tables.bjontegaard(named, list(named), ["all"], "psnr")
  dashes = [line.split(" | ")[0] for line in text.splitlines() if line.endswith("| – |")]
  assert dashes == ["| two", "| three with a dip"]
  assert text.splitlines()[-1] == (
    "No rate (–) of curves with fewer than 3 points that are better than all smaller ones: two has "
    "2, three with a dip has 2."
  )
  assert not cautions.of_rates(named, [("three", "all")])


@pytest.mark.parametrize("bpp", [0, -0.5, math.nan, math.inf])
def test_a_rate_without_a_logarithm_is_refused(bpp):
  with pytest.raises(ValueError, match="rates must be above 0 bits per pixel and finite, not"):
    curves.curve([*_TEST, (bpp, 35.0)])


@pytest.mark.parametrize(
  "bpp, quality", [([1, 2], [31, 30]), ([2, 1], [30, 31]), ([1, 2], [30, 30]), ([1], [math.nan])]
)
def test_a_curve_that_does_not_increase_cannot_be_made(bpp, quality):
  with pytest.raises(ValueError, match="increase from point to point: use `curve`"):
    curves.Curve(np.array(bpp, float), np.array(quality, float))
