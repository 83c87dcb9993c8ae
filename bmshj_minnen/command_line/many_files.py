"""Many files: turning each into another, several at a time."""

import concurrent.futures
import dataclasses
import errno
import os
import sys
import threading
import time
from typing import Callable, Generic, TypeVar

import tqdm

from bmshj_minnen.command_line import planning
from bmshj_minnen.photographs.reason import reason

__all__ = ["Outcome", "Work", "run"]

_A = TypeVar("_A")
_B = TypeVar("_B")

_PATIENCE = 2.0  # Seconds before progress is shown.
_BAR = "{l_bar}{bar}| {n:.1f}/{total} files [{elapsed}<{remaining}]"
# After these, the other files could not be written either.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclasses.dataclass(frozen=True)
class Work(Generic[_A, _B]):
  """What turns one file into another; called from several threads at once.

  Attributes:
    read: path and a function that takes notes (one line each) -> content.
    convert: content and a function that takes the fraction done -> result, and lines to print.
    write: target and result -> None; all or nothing.
  """

  read: Callable[[str, Callable[[str], None]], _A]
  convert: Callable[[_A, Callable[[float], None]], tuple[_B, list[str]]]
  write: Callable[[str, _B], None]


@dataclasses.dataclass
class Outcome:
  """How many files were done, and how many failed; what remains was not tried."""

  done: int = 0
  failed: int = 0


def run(plan: planning.Plan, work: Work, parallel: int, verb: str) -> Outcome:
  """Does what is planned.

  A file that fails costs one line on stderr, and the others nothing; but a full disk ends the run,
  and so does Ctrl-C. What is written is whole in any case.

  Args:
    plan: of `planning.make_plan`.
    work: how.
    parallel: files that are worked on at the same time.
    verb: what the summary says was done, such as "compressed".

  Raises:
    KeyboardInterrupt: after the files in hand.
  """
  start, interrupted = time.perf_counter(), False
  # disable=None: shown on a terminal only.
  with tqdm.tqdm(
    total=len(plan.jobs), leave=False, disable=None, delay=_PATIENCE, bar_format=_BAR
  ) as bar:
    state = _State(plan, work, bar)
    with concurrent.futures.ThreadPoolExecutor(parallel) as pool:
      try:
        for future in [pool.submit(state.do, job) for job in plan.jobs]:
          future.result()
      except KeyboardInterrupt:
        state.stop()
        interrupted = True
  if plan.is_folder:
    print(_summary(plan, state.outcome, verb, time.perf_counter() - start))
  if interrupted:
    raise KeyboardInterrupt
  return state.outcome


def _summary(plan, outcome, verb, seconds):
  count = len(plan.jobs)
  parts = [f"{verb} {outcome.done} of {count} files in {seconds:.1f} s"]
  for number, what in [
    (outcome.failed, "failed"),
    (count - outcome.done - outcome.failed, "not tried"),
    (plan.existing, "more were there already"),
  ]:
    parts += [f"{number} {what}"] if number else []
  return ", ".join(parts)


class _State:
  """A run as its threads see it."""

  def __init__(self, plan: planning.Plan, work: Work, bar: tqdm.tqdm):
    self.outcome = Outcome()
    self._is_folder, self._work, self._bar = plan.is_folder, work, bar
    self._stopped = threading.Event()
    self._lock = threading.Lock()

  def stop(self):
    """Lets the jobs that have not begun end at once."""
    self._stopped.set()

  def do(self, job):
    """Does a job, unless the run was stopped, and tells how it went."""
    if self._stopped.is_set():
      return
    notes: list[str] = []
    part = _Part(self._bar, self._lock)
    try:
      content = self._work.read(job.source, notes.append)
      result, lines = self._work.convert(content, part.reach)
      if self._is_folder:
        os.makedirs(os.path.dirname(job.target), exist_ok=True)
      self._work.write(job.target, result)
    except Exception as error:  # A defect that one file meets must not cost the others theirs.
      self._tell(job, notes, [], error)
    else:
      self._tell(job, notes, lines, None)
    part.reach(1.0)

  def _tell(self, job, notes, lines, error):
    with self._lock:
      for line in notes:
        self._bar.write(f"note: {line}", file=sys.stderr)
      if error is not None:
        self.outcome.failed += 1
        self._bar.write(f"error: {job.source}: {reason(job.source, error)}", file=sys.stderr)
        if getattr(error, "errno", None) in _FULL:
          self.stop()
      else:
        self.outcome.done += 1
        if lines and self._is_folder:
          self._bar.write(f"{job.source} -> {job.target}")
        for line in lines:
          self._bar.write(line)


class _Part:
  """What one job adds to the bar."""

  def __init__(self, bar: tqdm.tqdm, lock: threading.Lock):
    self._bar, self._lock, self._done = bar, lock, 0.0

  def reach(self, fraction):
    """Moves the bar to where this job has done so much."""
    with self._lock:
      self._bar.update(fraction - self._done)
      self._done = fraction
