"""Checks of arguments: choices, numbers and images.

Python's and NumPy's numbers are accepted; strings, truth values and arrays are not.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["choice", "image", "is_whole", "number", "positive", "registered", "whole"]


def choice(name: str, value: str, choices: Iterable[str]) -> None:
  """Checks that a value is one of the choices.

  Args:
    name: name of the argument, for the message.
    value: value of the argument.
    choices: the accepted values.

  Raises:
    ValueError: the value is not one of the choices.
  """
  if value not in choices:
    raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(choices)}")


def registered(kind: str, name: str, names: Iterable[str]) -> None:
  """Checks that something is registered under a name.

  Args:
    kind: kind of the thing, for the message.
    name: the name.
    names: the names that are registered.

  Raises:
    ValueError: it is not.
  """
  if name not in names:
    raise ValueError(
      f"the {kind} {name!r} is not one of {', '.join(names)}: import the module that registers it "
      "first, in programs with --import=MODULE"
    )


def is_whole(value: Any) -> bool:
  """Whether a value is a whole number: Python's or NumPy's, not a truth value."""
  return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def whole(name: str, value: Any, least: int) -> None:
  """Checks that a value is a whole number of at least `least`; NumPy's integers are accepted.

  Raises:
    ValueError: the value is of another type, or below `least`.
  """
  if not is_whole(value) or value < least:
    raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def number(name: str, value: Any, range_in_words: str) -> float:
  """The number as a float; infinity and NaN are accepted.

  Args:
    name: name of the argument, for the message.
    value: value of the argument.
    range_in_words: accepted range, such as "above 0", for the message.

  Raises:
    TypeError: the value is not a real number.
  """
  if not isinstance(value, numbers.Real) or isinstance(value, bool):
    kind = type(value).__name__
    raise TypeError(f"the {name} must be a number, {range_in_words}, not of type {kind}")
  try:
    return float(value)
  except OverflowError:
    return float("inf") if value > 0 else float("-inf")


def positive(name: str, value: Any) -> float:
  """The number as a float, above 0 and finite.

  Raises:
    TypeError: the value is not a real number.
    ValueError: the number is not above 0, or not finite.
  """
  result = number(name, value, "above 0")
  if not 0 < result < math.inf:
    raise ValueError(f"the {name} must be above 0, not {result:g}")
  return result


def image(value: Any) -> tuple[int, int]:
  """The height and the width of an image.

  Raises:
    TypeError: the value is not an array.
    ValueError: it is not [H, W, 3] uint8.
  """
  if not isinstance(value, np.ndarray):
    raise TypeError(f"expected a uint8 image [H, W, 3], not a {type(value).__name__}")
  if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
    raise ValueError(f"expected a uint8 image [H, W, 3], not {value.dtype} {list(value.shape)}")
  return value.shape[:2]
