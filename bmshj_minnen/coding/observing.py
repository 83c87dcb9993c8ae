"""What may be seen of a work: the seconds of its parts, and the fraction that is done."""

import contextlib
import time
from collections.abc import Iterator
from typing import Callable, Optional

__all__ = ["Progress", "Repeated", "Stopwatch"]


class Progress:
  """Two parts of a work, of which the first takes a given share.

  Attributes:
    first, second: take the fraction of a part that is done; None if nobody asks.
  """

  def __init__(self, progress: Optional[Callable[[float], None]], share: float):
    self.first = self.second = None
    if progress:
      self.first = lambda fraction: progress(share * fraction)
      self.second = lambda fraction: progress(share + (1 - share) * fraction)


class Repeated:
  """A progress that can be told again, so that whoever hears of it may stop the work by raising."""

  def __init__(self, progress: Optional[Callable[[float], None]]):
    self._progress, self._fraction = progress, 0.0

  def reach(self, fraction: float) -> None:
    """Tells of a new fraction."""
    self._fraction = fraction
    self.again()

  def again(self) -> None:
    """Tells of the last fraction once more."""
    if self._progress:
      self._progress(self._fraction)


class Stopwatch:
  """Adds up the seconds of named parts: `with timed("analysis"): …`.

  Args:
    seconds: receives them; None: nobody asks.
  """

  def __init__(self, seconds: Optional[dict[str, float]] = None):
    self._seconds = {} if seconds is None else seconds

  @contextlib.contextmanager
  def __call__(self, name: str) -> Iterator[None]:
    """Times what happens inside."""
    start = time.perf_counter()
    yield
    self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
