"""Progress and timing of work: the fraction that is done, and the seconds of its parts."""

import contextlib
import time
from collections.abc import Iterator
from typing import Callable, Optional

__all__ = ["Progress", "ResendableProgress", "Stopwatch"]


class Progress:
  """The progress of work in two parts, of which the first takes a given share.

  Args:
    progress: called with the fraction of the whole that is done, 0 to 1; or None.
    share: the share of the first part, 0 to 1.

  Attributes:
    first, second: functions of the fraction of a part that is done; None without `progress`.
  """

  def __init__(self, progress: Optional[Callable[[float], None]], share: float):
    self.first = self.second = None
    if progress:
      self.first = lambda fraction: progress(share * fraction)
      self.second = lambda fraction: progress(share + (1 - share) * fraction)


class ResendableProgress:
  """Progress that can be reported again, so that its receiver can stop the work by raising."""

  def __init__(self, progress: Optional[Callable[[float], None]]):
    self._progress, self._fraction = progress, 0.0

  def reach(self, fraction: float) -> None:
    """Reports a new fraction, 0 to 1."""
    self._fraction = fraction
    self.again()

  def again(self) -> None:
    """Reports the last fraction again."""
    if self._progress:
      self._progress(self._fraction)


class Stopwatch:
  """Adds up the seconds of named parts: `with timed("analysis"): …`.

  Args:
    seconds: receives the seconds by name, if given.
  """

  def __init__(self, seconds: Optional[dict[str, float]] = None):
    self._seconds = {} if seconds is None else seconds

  @contextlib.contextmanager
  def __call__(self, name: str) -> Iterator[None]:
    """Times the code inside the context."""
    start = time.perf_counter()
    yield
    self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
