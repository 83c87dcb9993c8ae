"""Converts many files, several at a time."""

import concurrent.futures
import contextlib
import dataclasses
import errno
import filecmp
import os
import sys
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar

import tqdm

from bmshj_minnen.command_line import (
  archive,
  copies,
  files,
  manifest,
  planning,
  run_log,
  run_metrics,
  startup,
)
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.file_tools.errors import reason

__all__ = ["Outcome", "Records", "Work", "run"]

_A = TypeVar("_A")
_B = TypeVar("_B")

_PATIENCE = 2.0  # Seconds before progress is shown.
_LINE_EVERY = 60.0  # Seconds between lines of progress without a terminal.
_FIRST_LINE = 5.0  # Seconds before the first of them, an estimate from the first files.
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
    write: target, result and source -> path of the file that was written, if it is another one
      than the target; atomic.
    is_done: source and target, a file made from it -> if the target is complete and satisfies the
      request, its facts `width`, `height` and `bytes`, or True; else a false value. Used for
      `skip_existing`, and for results without a row in the manifest, which then get one.
    request: the request for the manifest, see `manifest.request_text`.
  """

  read: Callable[[str, Callable[[str], None]], _A]
  convert: Callable[
    [_A, Callable[[float], None], dict[str, Any]], tuple[_B, Callable[[], list[str]]]
  ]
  write: Callable[[str, _B, str], Optional[str]]
  is_done: Callable[[str, str], Any]
  request: str = ""


@dataclasses.dataclass
class Outcome:
  """How many files were done, failed, or had results already; the others were not tried.

  Attributes:
    done, failed, existing: numbers of files.
    larger: number of results that were written although they are larger than their sources.
    copied: number of sources that were copied, because they are smaller than their results.
  """

  done: int = 0
  failed: int = 0
  existing: int = 0
  larger: int = 0
  copied: int = 0

  def status(self, is_folder: bool) -> int:
    """The exit status of a program.

    Args:
      is_folder: whether results went to a folder; only then there is
        `NOTHING_DONE`.
    """
    if is_folder and self.failed and not self.done and not self.existing:
      return startup.NOTHING_DONE
    return startup.FAILED if self.failed else 0


@dataclasses.dataclass(frozen=True)
class Records:
  """Where a run writes what it did.

  Attributes:
    log: receives a line for each file.
    metrics: counts the files.
    rows: the manifest of the folder of results; None: there is none.
  """

  log: run_log.RunLog = dataclasses.field(default_factory=run_log.RunLog)
  metrics: run_metrics.RunMetrics = dataclasses.field(default_factory=run_metrics.RunMetrics)
  rows: Optional[archive.Archive] = None

  def add(self, source: str, ok: bool, **facts: Any) -> None:
    """Adds a file to the log and to the metrics."""
    self.log.add(source, ok, **facts)
    self.metrics.add(ok, facts)

  def close(self) -> None:
    """Completes all of them."""
    if self.rows is not None:
      self.rows.close()
    self.log.close()
    self.metrics.close()


def run(
  plan: planning.Plan,
  work: Work,
  parallel: int,
  verb: str,
  records: Optional[Records] = None,
) -> Outcome:
  """Carries out a plan.

  A file that fails is reported in one line on stderr, and the run continues; but a full disk ends
  the run. Ctrl-C and SIGTERM also end it, when the files in progress next report progress. All
  files written are complete. Progress is a bar on a terminal, else a line on stderr after the first
  files, with an estimate, and each minute.

  Args:
    plan: the jobs, from `planning.make_plan`.
    work: functions that convert one file.
    parallel: number of files that are converted at the same time.
    verb: verb of the summary, such as "compressed".
    records: where the run writes what it did; closed at its end.

  Raises:
    KeyboardInterrupt: after Ctrl-C.
    startup.Terminated: after SIGTERM.
  """
  start, interrupted = time.perf_counter(), None
  records = records or Records()
  # disable=None: shown on a terminal only.
  with tqdm.tqdm(
    total=len(plan.jobs), leave=False, disable=None, delay=_PATIENCE, bar_format=_BAR
  ) as bar:
    state = _State(plan, work, bar, records)
    with startup.sigterm_interrupts(), concurrent.futures.ThreadPoolExecutor(parallel) as pool:
      try:
        for future in [pool.submit(state.do, job) for job in plan.jobs]:
          future.result()
      except KeyboardInterrupt as error:
        state.stop()
        interrupted = error
  state.note_unknown()
  records.close()
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
    (outcome.copied, "copied, as they are smaller than their results"),
    (outcome.larger, "larger than their sources, which --keep_smaller copies"),
  ]:
    parts += [f"{number} {what}"] if number else []
  return ", ".join(parts)


class _State:
  """State of a run, shared by its threads."""

  def __init__(self, plan: planning.Plan, work: Work, bar: tqdm.tqdm, records: Records):
    self.outcome = Outcome()
    self._plan, self._work, self._bar, self._records = plan, work, bar, records
    self._start = self._line_at = time.monotonic()
    self._lines, self._unknown = 0, 0
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
      if self._is_done(job):
        with self._lock:
          self.outcome.existing += 1
        self._records.add(job.source, ok=True, target=job.target, existing=True)
      else:
        self._convert(job, part)
      part.reach(1.0)

  def note_unknown(self):
    """Prints a note if results were kept that have no row in a manifest."""
    if self._unknown:
      self._say(
        f"note: results kept without a record: {self._unknown}; their time, size and header do not"
        " show all flags, such as --effort; --update keeps records",
        sys.stdout,
      )
    rows = self._records.rows
    gone = rows.gone({job.source for job in self._plan.jobs}) if rows and self._plan.update else []
    if gone:
      line = f"note: results kept whose sources are gone: {len(gone)}, such as {gone[0]}"
      self._say(line, sys.stderr)

  def _is_done(self, job):
    """Whether a job's result is there already."""
    plan, rows = self._plan, self._records.rows
    if not plan.update and not plan.skip_existing:
      return False
    try:
      known = self._is_recorded_done(job, rows) if plan.update else None
      if known is not None:
        return known
      if plan.keep_smaller and _is_copied(job):
        return True
      if not outputs.is_made_of(job.target, job.source):
        return False
      found = self._work.is_done(job.source, job.target)
      if not found:
        return False
      if plan.update:
        facts = {**found, "source_bytes": os.path.getsize(job.source)}
        source_sha256 = manifest.digest(files.read(job.source))
        if not outputs.is_made_of(job.target, job.source):  # It has changed meanwhile.
          return False
        rows.add(job, job.target, source_sha256, self._work.request, facts)
    except (ValueError, OSError):  # Reading the source will report the same error.
      return False
    with self._lock:
      self._unknown += 1
    return True

  def _is_recorded_done(self, job, rows):
    """Whether the manifest shows that a result is up to date; None: it does not list the result."""
    request, copy = self._work.request, copies.place_of(job.target, job.source)
    if self._plan.keep_smaller and rows.is_kept(copy, job.source, request):
      return True
    if self._plan.keep_smaller and rows.is_larger(job.target):
      return False
    return rows.is_kept(job.target, job.source, request)

  def _convert(self, job, part):
    notes: list[str] = []
    facts: dict[str, Any] = {"target": job.target}
    begin = time.perf_counter()
    rows = self._records.rows
    try:
      if rows:
        rows.refuse_other(job)
      before = outputs.version_of(job.source)
      content = self._work.read(job.source, notes.append)
      result, describe = self._work.convert(content, part.reach, facts)
      rows = rows if before else None  # A pipe could be read only once.
      source_sha256 = manifest.digest(files.read(job.source)) if rows else ""
      outputs.refuse_change(job.source, before)
      if self._plan.is_folder:
        os.makedirs(os.path.dirname(job.target), exist_ok=True)
      written = self._work.write(job.target, result, job.source) or job.target
      facts.update(target=written)
      if rows:
        facts["source_bytes"] = before[2]
        rows.add(job, written, source_sha256, self._work.request, facts)
    except _StoppedError:
      raise
    except Exception as error:  # A defect met by one file must not end the run.
      self._records.add(job.source, ok=False, **facts, error=reason(job.source, error))
      self._tell(job, notes, [], error)
      return
    seconds = round(time.perf_counter() - begin, 4)
    self._records.add(job.source, ok=True, **facts, total_s=seconds)
    is_copied = written != job.target
    is_larger = bool(facts.get("larger")) and not is_copied
    if is_larger and not self._plan.is_folder:
      notes.append(f"{job.source} is smaller than its result, {facts['bytes']} bytes")
    with self._lock:
      self.outcome.copied += is_copied
      self.outcome.larger += is_larger
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
    """Prints a line after the first files and each minute if the bar is not shown."""
    now = time.monotonic()
    outcome, total = self.outcome, len(self._plan.jobs)
    done = outcome.done + outcome.failed + outcome.existing
    due = _LINE_EVERY if self._lines else min(_FIRST_LINE, _LINE_EVERY)
    if self._bar.disable and done and now - self._line_at >= due:
      self._line_at = now
      self._lines += 1
      each = (now - self._start) / done
      left = tqdm.tqdm.format_interval(each * (total - done))
      self._say(f"{done} of {total} files, {each:.3g} s each, {left} left", sys.stderr)

  def _say(self, line, output):
    with contextlib.suppress(OSError):  # Output is closed; keep converting.
      self._bar.write(line, file=output)


def _is_copied(job):
  """Whether a source was copied, and has not changed since."""
  copy = copies.place_of(job.target, job.source)
  return outputs.is_made_of(copy, job.source) and filecmp.cmp(copy, job.source, shallow=False)


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
