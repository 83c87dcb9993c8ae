"""Converts many files, several at a time."""

import concurrent.futures
import contextlib
import dataclasses
import errno
import os
import sys
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar

import tqdm

from bmshj_minnen.command_line import files, planning, run_log, startup
from bmshj_minnen.photographs import outputs
from bmshj_minnen.photographs.reason import reason

__all__ = ["Outcome", "Work", "run"]

_A = TypeVar("_A")
_B = TypeVar("_B")

_PATIENCE = 2.0  # Seconds before progress is shown.
_LINE_EVERY = 60.0  # Seconds between lines of progress without a terminal.
_BAR = "{l_bar}{bar}| {n:.1f}/{total} files [{elapsed}<{remaining}]"
# After these errors, the other files could not be written either.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class _StoppedError(Exception):
  """The run was stopped while a file was being converted."""


@dataclasses.dataclass(frozen=True)
class Work(Generic[_A, _B]):
  """Functions that convert one file; called from several threads at once.

  Attributes:
    read: path and a function that takes notes (one line each) -> content.
    convert: content, a function that takes the fraction done, and a dictionary that receives facts
      for the log -> result, and a function that returns lines to print about it. That function is
      called after the result is written; if it fails, only a note is printed.
    write: target, result and source -> None; atomic.
    is_done: source and target, a file made from it -> whether the target is complete and satisfies
      the request. Used for `skip_existing`.
  """

  read: Callable[[str, Callable[[str], None]], _A]
  convert: Callable[
    [_A, Callable[[float], None], dict[str, Any]], tuple[_B, Callable[[], list[str]]]
  ]
  write: Callable[[str, _B, str], None]
  is_done: Callable[[str, str], bool]


@dataclasses.dataclass
class Outcome:
  """How many files were done, failed, or had results already; the others were not tried."""

  done: int = 0
  failed: int = 0
  existing: int = 0


def run(
  plan: planning.Plan,
  work: Work,
  parallel: int,
  verb: str,
  log: Optional[run_log.RunLog] = None,
) -> Outcome:
  """Carries out a plan.

  A file that fails is reported in one line on stderr, and the run continues; but a full disk ends
  the run. Ctrl-C and SIGTERM also end it, when the files in progress next report progress. All
  files written are complete. Progress is a bar on a terminal, else a line on stderr each minute.

  Args:
    plan: the jobs, from `planning.make_plan`.
    work: functions that convert one file.
    parallel: number of files that are converted at the same time.
    verb: verb of the summary, such as "compressed".
    log: receives a line for each file.

  Raises:
    KeyboardInterrupt: after Ctrl-C.
    startup.Terminated: after SIGTERM.
  """
  start, interrupted = time.perf_counter(), None
  # disable=None: shown on a terminal only.
  with tqdm.tqdm(
    total=len(plan.jobs), leave=False, disable=None, delay=_PATIENCE, bar_format=_BAR
  ) as bar:
    state = _State(plan, work, bar, log or run_log.RunLog())
    with startup.sigterm_interrupts(), concurrent.futures.ThreadPoolExecutor(parallel) as pool:
      try:
        for future in [pool.submit(state.do, job) for job in plan.jobs]:
          future.result()
      except KeyboardInterrupt as error:
        state.stop()
        interrupted = error
  if plan.is_folder:
    print(_summary(plan, state.outcome, verb, time.perf_counter() - start))
  if interrupted:
    raise interrupted
  return state.outcome


def _summary(plan, outcome, verb, seconds):
  count = len(plan.jobs) + sum(refusal.files for refusal in plan.refusals) - outcome.existing
  parts = [f"{verb} {outcome.done} of {count} files in {seconds:.1f} s"]
  for number, what in [
    (outcome.failed, "failed"),
    (count - outcome.done - outcome.failed, "not tried"),
    (outcome.existing, "more were there already"),
  ]:
    parts += [f"{number} {what}"] if number else []
  return ", ".join(parts)


class _State:
  """State of a run, shared by its threads."""

  def __init__(self, plan: planning.Plan, work: Work, bar: tqdm.tqdm, log: run_log.RunLog):
    self.outcome = Outcome()
    self._plan, self._work, self._bar, self._log = plan, work, bar, log
    self._start = self._line_at = time.monotonic()
    self._stopped = threading.Event()
    self._lock = threading.Lock()
    for refusal in plan.refusals:
      self.outcome.failed += refusal.files
      self._say(f"error: {refusal.line}", sys.stderr)
    for line in plan.left_out:
      self._say(f"note: {line}", sys.stderr)

  def stop(self):
    """Ends waiting jobs at once, and running jobs when they next report progress."""
    self._stopped.set()

  def do(self, job):
    """Does a job, unless the run was stopped, and reports the outcome."""
    if self._stopped.is_set():
      return
    part = _Part(self._bar, self._lock, self._stopped)
    with contextlib.suppress(_StoppedError):
      if self._plan.skip_existing and self._is_done(job):
        with self._lock:
          self.outcome.existing += 1
        self._log.add(job.source, ok=True, target=job.target, existing=True)
      else:
        self._convert(job, part)
      part.reach(1.0)

  def _is_done(self, job):
    try:
      is_made = outputs.is_made_of(job.target, job.source)
      return is_made and self._work.is_done(job.source, job.target)
    except (ValueError, OSError):  # Reading the source will report the same error.
      return False

  def _convert(self, job, part):
    notes: list[str] = []
    facts: dict[str, Any] = {"target": job.target}
    begin = time.perf_counter()
    try:
      before = outputs.version_of(job.source)
      content = self._work.read(job.source, notes.append)
      result, describe = self._work.convert(content, part.reach, facts)
      outputs.refuse_change(job.source, before)
      if self._plan.is_folder:
        os.makedirs(os.path.dirname(job.target), exist_ok=True)
      self._work.write(job.target, result, job.source)
    except _StoppedError:
      raise
    except Exception as error:  # A defect met by one file must not end the run.
      self._log.add(job.source, ok=False, **facts, error=reason(job.source, error))
      self._tell(job, notes, [], error)
      return
    self._log.add(job.source, ok=True, **facts, total_s=round(time.perf_counter() - begin, 4))
    try:
      lines = describe()
    except Exception as error:  # The result is written, so this is only a note.
      notes.append(f"{job.source}: no report: {reason(job.source, error)}")
      lines = []
    self._tell(job, notes, lines, None)

  def _tell(self, job, notes, lines, error):
    with self._lock:
      for line in notes:
        self._say(f"note: {line}", sys.stderr)
      if error is not None:
        self.outcome.failed += 1
        self._say(f"error: {job.source}: {reason(job.source, error)}", sys.stderr)
        if getattr(error, "errno", None) in _FULL:
          self.stop()
        return
      self.outcome.done += 1
      self._show_progress()
      output = sys.stderr if files.is_stdout(job.target) else sys.stdout
      if lines and self._plan.is_folder:
        self._say(f"{job.source} -> {job.target}", output)
      for line in lines:
        self._say(line, output)

  def _show_progress(self):
    """Prints a line each minute if the bar is not shown."""
    now = time.monotonic()
    done = self.outcome.done + self.outcome.failed + self.outcome.existing
    if self._bar.disable and done and now - self._line_at >= _LINE_EVERY:
      self._line_at = now
      each, total = (now - self._start) / done, len(self._plan.jobs)
      left = tqdm.tqdm.format_interval(each * (total - done))
      self._say(f"{done} of {total} files, {each:.3g} s each, {left} left", sys.stderr)

  def _say(self, line, output):
    with contextlib.suppress(OSError):  # Output is closed; keep converting.
      self._bar.write(line, file=output)


class _Part:
  """Share of one job in the progress bar."""

  def __init__(self, bar: tqdm.tqdm, lock: threading.Lock, stopped: threading.Event):
    self._bar, self._lock, self._stopped, self._done = bar, lock, stopped, 0.0

  def reach(self, fraction):
    """Moves the bar to this fraction of the job, or ends the job if the run was stopped."""
    if self._stopped.is_set() and fraction < 1:
      raise _StoppedError
    with self._lock, contextlib.suppress(OSError):
      self._bar.update(fraction - self._done)
    self._done = fraction
