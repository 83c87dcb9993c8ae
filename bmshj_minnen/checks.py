"""Values that callers give: choices, and numbers.

Numbers are Python's and NumPy's; texts, truth values and arrays are none.
"""

import math
import numbers
from collections.abc import Iterable
from typing import Any

__all__ = ["choice", "number", "positive"]


def choice(name: str, value: str, choices: Iterable[str]) -> None:
  """Raises ValueError if a value is none of the choices; the message calls it `name`."""
  if value not in choices:
    raise ValueError(f"unknown {name} {value!r}: choose one of {', '.join(choices)}")


def number(name: str, value: Any, range_in_words: str) -> float:
  """The number as a float; infinite or NaN ones are numbers, too.

  Args:
    name: of the argument, for the message.
    value: what the caller gave.
    range_in_words: such as "above 0", for the message.

  Raises:
    TypeError: it is no real number.
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
    TypeError: it is no real number.
    ValueError: it is another one.
  """
  result = number(name, value, "above 0")
  if not 0 < result < math.inf:
    raise ValueError(f"the {name} must be above 0, not {result:g}")
  return result
