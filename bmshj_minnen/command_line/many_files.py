"""Converts many files, several at a time."""

import concurrent.futures
import contextlib
import dataclasses
import errno
import filecmp
import os
import threading
import time
from typing import Any, Callable, Generic, Optional, TypeVar

from bmshj_minnen.command_line import console, copies, files, manifest, planning, startup
from bmshj_minnen.command_line.run_records import Outcome, Records
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.file_tools.errors import reason

__all__ = ["Work", "run"]

_A = TypeVar("_A")
_B = TypeVar("_B")

# After these errors, the other files could not be written either.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Seconds. Python notices a signal that arrives just before a wait begins only when the wait ends.
_WAIT = 1.0


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
    records: log, metrics and manifest of the run; closed at its end.

  Raises:
    KeyboardInterrupt: after Ctrl-C.
    startup.Terminated: after SIGTERM.
  """
  start, interrupted = time.perf_counter(), None
  records = records or Records()
  with console.Console(len(plan.jobs)) as lines:
    state = _State(plan, work, lines, records)
    with startup.sigterm_interrupts(), concurrent.futures.ThreadPoolExecutor(parallel) as pool:
      try:
        for future in [pool.submit(state.do, job) for job in plan.jobs]:
          while not concurrent.futures.wait([future], _WAIT).done:
            pass
          future.result()
      except KeyboardInterrupt as error:
        state.stop()
        interrupted = error
  state.note_unknown()
  records.close()
  for line in records.problems:
    state.outcome.unrecorded = True
    lines.error(line)
  if plan.is_folder:
    count = len(plan.jobs) + sum(refusal.files for refusal in plan.refusals)
    print(state.outcome.summary(count, verb, time.perf_counter() - start))
  if interrupted:
    raise interrupted
  return state.outcome


class _State:
  """State of a run, shared by its threads."""

  def __init__(self, plan: planning.Plan, work: Work, lines: console.Console, records: Records):
    self.outcome = Outcome()
    self._plan, self._work, self._console, self._records = plan, work, lines, records
    self._unknown = 0
    self._stopped = threading.Event()
    self._lock = threading.Lock()
    for refusal in plan.refusals:
      self.outcome.failed += refusal.files
      lines.error(refusal.line)
    for line in plan.notes:
      lines.note(line)

  def stop(self):
    """Ends waiting jobs at once, and running jobs when they next report progress."""
    self._stopped.set()

  def do(self, job):
    """Does a job, unless the run was stopped, and reports the outcome."""
    if self._stopped.is_set():
      return
    part = _Part(self._console, self._stopped)
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
      self._console.print_line(
        f"note: results kept without a record: {self._unknown}; their time, size and header do not"
        " show all flags of the run that made them; --update keeps records"
      )
    rows = self._records.rows
    gone = rows.gone({job.source for job in self._plan.jobs}) if rows and self._plan.update else []
    if gone:
      self._console.note(f"results kept whose sources are gone: {len(gone)}, such as {gone[0]}")

  def _is_done(self, job):
    """Whether a job's result is there already."""
    plan, rows = self._plan, self._records.rows
    if not plan.update and not plan.skip_existing:
      return False
    try:
      known = self._is_recorded_done(job, rows) if plan.update else None
      if known is not None:
        return known
      # With `update`, the photograph is compressed once more, for a row in the manifest.
      if plan.keep_smaller and not plan.update and _is_copied(job):
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
        os.makedirs(os.path.dirname(job.target) or os.curdir, exist_ok=True)
      written = self._work.write(job.target, result, job.source) or job.target
      facts.update(target=written)
      if rows:
        facts["source_bytes"] = before[2]
        rows.add(job, written, source_sha256, self._work.request, facts)
    except _StoppedError:
      raise
    except Exception as error:  # A defect met by one file must not end the run.
      self._records.add(job.source, ok=False, **facts, error=reason(job.source, error))
      self._report(job, notes, [], error)
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
    self._report(job, notes, lines, None)

  def _report(self, job, notes, lines, error):
    with self._lock:
      for line in notes:
        self._console.note(line)
      if error is not None:
        self.outcome.failed += 1
        self._console.error(f"{job.source}: {reason(job.source, error)}")
        if getattr(error, "errno", None) in _FULL:
          self.stop()
        return
      self.outcome.done += 1
      self._console.show_progress(self.outcome.tried)
      if lines and self._plan.is_folder:
        lines = [f"{job.source} -> {job.target}", *lines]
      for line in lines:
        self._console.print_line(line, to_stderr=files.is_stdout(job.target))


def _is_copied(job):
  """Whether a source was copied, and has not changed since."""
  copy = copies.place_of(job.target, job.source)
  return outputs.is_made_of(copy, job.source) and filecmp.cmp(copy, job.source, shallow=False)


class _Part:
  """Share of one job in the progress bar."""

  def __init__(self, lines: console.Console, stopped: threading.Event):
    self._console, self._stopped, self._done = lines, stopped, 0.0

  def reach(self, fraction):
    """Moves the bar to this fraction of the job, or ends the job if the run was stopped."""
    if self._stopped.is_set() and fraction < 1:
      raise _StoppedError
    self._console.advance(fraction - self._done)
    self._done = fraction
