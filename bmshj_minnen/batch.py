"""Many files: which become what, and doing it, several at a time."""

import concurrent.futures
import dataclasses
import errno
import glob
import os
import re
import sys
import threading
import time
from typing import Callable, Generic, Optional, TypeVar

import tqdm

__all__ = ["Job", "Outcome", "Plan", "Request", "Work", "make_plan", "reason", "run"]

_A = TypeVar("_A")
_B = TypeVar("_B")

TEMPORARY = re.compile(r"\.\d+\.tmp$")  # What `images.write_atomically` may leave behind.
_PATIENCE = 2.0  # Seconds before progress is shown.
_BAR = "{l_bar}{bar}| {n:.1f}/{total} files [{elapsed}<{remaining}]"
# After these, the other files could not be written either.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclasses.dataclass(frozen=True)
class Request:
  """What the command line asks for.

  Attributes:
    paths: without `output_dir`, the source and the target; with it, files, folders and globs.
    output_dir: where results go under the names of their sources, with another suffix. Files from
      a folder, or from a glob such as `photos/**/*.png`, keep their places below `photos`.
    recursive: whether folders within folders are looked into.
    skip_existing: whether results that are there already are kept.
  """

  paths: tuple[str, ...]
  output_dir: Optional[str] = None
  recursive: bool = False
  skip_existing: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
  """A file that becomes another."""

  source: str
  target: str


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is to be done.

  Attributes:
    jobs: sorted as the request names them.
    existing: how many more results are there already.
    is_folder: whether results go to a folder, so that progress and a summary are worth showing.
  """

  jobs: list[Job]
  existing: int
  is_folder: bool


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


def make_plan(request: Request, suffixes: frozenset[str], new_suffix: str) -> Plan:
  """Finds the files that a request means and names their results.

  Args:
    request: what is asked for.
    suffixes: of the files that are taken from folders, in lower case. Files that are named, or
      match a glob, are taken whatever their suffix. Hidden files and the temporary ones of killed
      runs are not.
    new_suffix: of results.

  Raises:
    ValueError: the request makes no sense, matches nothing, or gives two files one name.
  """
  if request.output_dir is None:
    jobs = [_single_job(request.paths, suffixes)]
  else:
    jobs = list(dict.fromkeys(_folder_jobs(request, suffixes, new_suffix)))
  _refuse_clashes(jobs)
  missing = [j for j in jobs if not (request.skip_existing and os.path.isfile(j.target))]
  return Plan(missing, len(jobs) - len(missing), request.output_dir is not None)


def _single_job(paths, suffixes):
  if len(paths) != 2 or os.path.isdir(paths[0]):
    raise ValueError("give a file and where its result goes, or --output_dir and any files")
  source, target = paths
  if os.path.splitext(target)[1].lower() in suffixes:
    # Most likely a shell's glob that matched two files; the second is precious.
    raise ValueError(f"{target} would be overwritten; for several files give --output_dir")
  return Job(source, target)


def _folder_jobs(request, suffixes, new_suffix):
  for path in request.paths:
    found = 0
    for source, place in _find(path, suffixes, request.recursive):
      found += 1
      target = os.path.join(request.output_dir, os.path.splitext(place)[0] + new_suffix)
      yield Job(os.path.normpath(source), os.path.normpath(target))
    if not found:
      raise ValueError(_nothing_found(path, suffixes, request.recursive))
  if not request.paths:
    raise ValueError("give files, folders or globs")


def _nothing_found(path, suffixes, recursive):
  if not os.path.isdir(path):
    return f"no file matches {path}"
  hint = "" if recursive else "; --recursive looks into the folders in it"
  return f"{path}: no file ends in {', '.join(sorted(suffixes))}{hint}"


def _find(path, suffixes, recursive):
  """Sources, and their places below the folder or the fixed part of the glob."""
  if os.path.isdir(path):
    for folder, folders, names in os.walk(path):
      folders[:] = sorted(f for f in folders if recursive and not f.startswith("."))
      for name in sorted(names):
        if os.path.splitext(name)[1].lower() in suffixes and not name.startswith("."):
          source = os.path.join(folder, name)
          yield source, os.path.relpath(source, path)
  elif glob.has_magic(path) and not os.path.lexists(path):
    parts = path.split(os.sep)
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = os.sep.join(parts[:fixed]) or (os.sep if os.path.isabs(path) else os.curdir)
    for source in sorted(glob.glob(path, recursive=True)):
      if os.path.isfile(source) and not TEMPORARY.search(source):
        yield source, os.path.relpath(source, root)
  elif not TEMPORARY.search(path):
    yield path, os.path.basename(path)


def _refuse_clashes(jobs):
  sources = {os.path.realpath(job.source): job.source for job in jobs}
  owners: dict[str, str] = {}
  for job in jobs:
    target = os.path.realpath(job.target)
    if target in sources:
      raise ValueError(f"{job.target} is one of the sources; let its result go elsewhere")
    if target in owners:
      raise ValueError(
        f"{owners[target]} and {job.source} would both become {job.target}; rename one, or give "
        f"them output folders of their own"
      )
    owners[target] = job.source


def run(plan: Plan, work: Work, parallel: int, verb: str) -> Outcome:
  """Does what is planned.

  A file that fails costs one line on stderr, and the others nothing; but a full disk ends the run,
  and so does Ctrl-C. What is written is whole in any case.

  Args:
    plan: of `make_plan`.
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

  def __init__(self, plan: Plan, work: Work, bar: tqdm.tqdm):
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


def reason(source: str, error: Exception) -> str:
  """What went wrong with a file, in a line that does not repeat its name."""
  text = str(error)
  if isinstance(error, OSError) and error.filename:
    text = f"{error.filename}: {error.strerror}"
  elif not isinstance(error, (ValueError, OSError)):
    text = f"{type(error).__name__}: {text}"
  return " ".join(text.split()).removeprefix(f"{source}: ")
