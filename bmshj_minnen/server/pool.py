"""Work of a server: a bounded number of requests, some at the same time, each of limited time."""

import asyncio
import concurrent.futures
import math
import threading
import time
from typing import Any, Callable, NamedTuple

__all__ = ["Limits", "Pool", "RefusedError"]


class Limits(NamedTuple):
  """Limits of a server.

  Attributes:
    jobs: requests that are worked on at the same time.
    queue: requests that may wait for that; further ones are refused.
    seconds: time for a request, from its beginning to its result.
    max_bytes: largest body.
    max_pixels: largest picture.
  """

  jobs: int = 2
  queue: int = 32
  seconds: float = 60.0
  max_bytes: int = 2**25
  max_pixels: int = 20_000_000


class RefusedError(Exception):
  """A request is refused; the message is one line.

  Args:
    status: the HTTP status.
    line: the message.
    retry_after: seconds after which the client may try again; 0: it need not.
  """

  def __init__(self, status: int, line: str, retry_after: int = 0):
    super().__init__(line)
    self.status, self.retry_after = status, retry_after

  def __reduce__(self):
    return type(self), (self.status, str(self), self.retry_after), vars(self)


class _StoppedError(Exception):
  """The time for a request is over while it is worked on."""


class Pool:
  """Threads that work on requests; its methods are called from one event loop.

  Args:
    limits: the limits.

  Attributes:
    admitted: number of requests that are read, wait or are worked on.
    running: number of those that are worked on.
  """

  def __init__(self, limits: Limits):
    self._limits = limits
    self._executor = concurrent.futures.ThreadPoolExecutor(limits.jobs)
    self._lock = threading.Lock()
    self._typical = 0.1  # Seconds of work on a request, a moving average.
    self.admitted = self.running = 0

  def admit(self) -> None:
    """Admits a request, before its body is read.

    Raises:
      RefusedError: too many are admitted already.
    """
    if self.admitted >= self._limits.jobs + self._limits.queue:
      # When clients come back, half of the present requests should still be there: those who are
      # refused together come back together, and meanwhile the threads must not run out of work.
      wait = max(1, math.floor(self._typical * self.admitted / self._limits.jobs / 2))
      raise RefusedError(503, f"{self._limits.queue} requests wait already: try again", wait)
    self.admitted += 1

  def release(self) -> None:
    """Ends a request that was admitted, but is not worked on."""
    self.admitted -= 1

  async def run(self, function: Callable[[Callable[[float], None]], Any], deadline: float) -> Any:
    """Works on an admitted request, and ends it.

    If its time is over, the work ends when it next reports progress; until then the request counts.

    Args:
      function: called in a thread with a function that takes the fraction done.
      deadline: time when the result must be there, as `time.monotonic`.

    Raises:
      RefusedError: the time is over.
      Exception: any error of the function.
    """
    stopped, loop = threading.Event(), asyncio.get_running_loop()

    def progress(fraction):
      if stopped.is_set():
        raise _StoppedError

    def work():
      begin = time.monotonic()
      if stopped.is_set() or begin > deadline:
        raise _StoppedError
      self._count(1)
      try:
        return function(progress)
      finally:
        self._count(-1, time.monotonic() - begin)

    future = self._executor.submit(work)
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(self.release))
    try:
      left = max(0.0, deadline - time.monotonic())
      return await asyncio.wait_for(asyncio.wrap_future(future), left)
    except (asyncio.TimeoutError, _StoppedError):
      line = f"this took longer than {self._limits.seconds:g} seconds"
      raise RefusedError(503, line, math.ceil(self._typical)) from None
    finally:
      stopped.set()

  def close(self) -> None:
    """Waits for all work."""
    self._executor.shutdown()

  def _count(self, change, seconds=None):
    with self._lock:
      self.running += change
      if seconds is not None:
        self._typical += 0.1 * (seconds - self._typical)
