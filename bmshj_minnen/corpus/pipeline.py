"""A corpus of files through the codec with Apache Beam, on one machine or on a cluster.

    inputs ──► sources by target ──┬─ one ──► convert, or there already ──► manifest.csv
                                   │                      │
                                   └─ several             └─ bad ──┐
                                         └─────────────────────────┴──► failures.csv

What becomes what is as in `batch`. Paths are any that Beam's file systems know, such as gs://.
"""

import dataclasses
import hashlib
import os
import posixpath
import re
from typing import Any, Optional, Protocol

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState
from apache_beam.utils import shared

from bmshj_minnen import batch
from bmshj_minnen.corpus import storage

__all__ = ["FAILURE_COLUMNS", "MANIFEST_COLUMNS", "Corpus", "Outcome", "Task", "run"]

MANIFEST_COLUMNS = ("source", "file", "source_bytes", "bytes", "width", "height", "bpp", "sha256")
FAILURE_COLUMNS = ("source", "reason")

# In the process itself. Beam's own choice may download a runner first.
_RUNNERS = {
  "DirectRunner": "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
}
_GLOB = re.compile(r"[*?\[]")
_FAILED = "failed"
# What the error of a pipeline says about one of `storage.write_file`, or of writing a table.
_UNWRITTEN = re.compile(r"(?:OSError|_WriteError): (.*) \[while running '(?:Convert|Write )")


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Which files are meant.

  Attributes:
    inputs: files, folders (all in them whose suffix is the task's) and globs (all that match;
      `**` stands for any folders). What is hidden or lies below `output` is left out of them.
    output: the folder for results, which keep the places that their sources have below the folder
      or the fixed part of the glob, and for manifest.csv and failures.csv.
  """

  inputs: tuple[str, ...]
  output: str


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What the pipeline counted.

  Attributes:
    files: results made.
    existing: results that were there already.
    failures: files that could not be converted.
    bytes_in, bytes_out: of the results made.
  """

  files: int = 0
  existing: int = 0
  failures: int = 0
  bytes_in: int = 0
  bytes_out: int = 0

  def summary(self, verb: str) -> str:
    """One line; the verb says what was done."""
    return (
      f"{verb} {self.files} files, {self.bytes_in} bytes -> {self.bytes_out}; "
      f"{self.existing} were there already, {self.failures} failed"
    )


class Task(Protocol):
  """What becomes of a file; travels to the workers, so it holds settings only."""

  suffixes: frozenset[str]  # Of the files that are taken from folders, in lower case.
  new_suffix: str
  compresses: bool  # Whether the results are the compressed files, rather than the sources.

  def load(self) -> Any:
    """The codec, once a worker process; used by several threads."""

  def convert(self, codec: Any, path: str, content: bytes) -> tuple[bytes, int, int]:
    """The result, and height and width of its image; raises whatever is wrong with the file."""

  def finished(self, codec: Any, path: str, result: bytes) -> Optional[tuple[int, int]]:
    """Height and width if `result`, found where that of the file `path` goes, is a whole one.

    Raises:
      ValueError: it must not be overwritten.
    """


@dataclasses.dataclass(frozen=True)
class _Pattern:
  """What Beam's file systems match, the folder that places are below, and a folder's suffixes."""

  glob: str
  root: str
  suffixes: frozenset[str] = frozenset()


def run(corpus: Corpus, task: Task, runner: str, arguments: list[str]) -> Outcome:
  """Runs the pipeline to its end.

  Results appear whole or not at all, and those that are there are kept: a run that was killed goes
  on when it is started again, and its manifest is that of all files.

  Args:
    corpus: which files.
    task: what is done to them.
    runner: Beam's name of it, such as DirectRunner.
    arguments: of Beam and its runner, as on a command line.

  Raises:
    ValueError: there is no such model, an input matches nothing, or Beam does not know the runner
      or an argument.
    OSError: a result could not be written.
    RuntimeError: the pipeline did not finish.
  """
  task.load()  # Tells of a wrong model before workers start.
  patterns = [p for path in corpus.inputs for p in _patterns(path, task)]
  options = PipelineOptions(arguments, runner=_RUNNERS.get(runner, runner))
  _refuse_unknown(arguments, runner, options)
  pipeline = beam.Pipeline(options=options)
  found = (
    pipeline
    | "Inputs" >> beam.Create(patterns)
    | "Find" >> beam.ParDo(_Find(corpus.output, task.new_suffix)).with_outputs(_FAILED, main="ok")
  )
  converted = (
    found.ok
    | "By target" >> beam.GroupByKey()
    | "Convert" >> beam.ParDo(_Convert(task, corpus.output)).with_outputs(_FAILED, main="ok")
  )
  failures = (found[_FAILED], converted[_FAILED]) | "All failures" >> beam.Flatten()
  storage.write_table(converted.ok, corpus.output, "manifest", MANIFEST_COLUMNS)
  storage.write_table(failures, corpus.output, "failures", FAILURE_COLUMNS)
  return _outcome(_finish(pipeline))


def _finish(pipeline):
  try:
    result = pipeline.run()
    state = result.wait_until_finish()
  except RuntimeError as error:
    found = _UNWRITTEN.search(str(error))
    if not found:
      raise
    raise OSError(f"cannot write: {found[1]}") from error
  if state not in (None, PipelineState.DONE):
    raise RuntimeError(f"the pipeline ended as {state}")
  return result


def _refuse_unknown(arguments, runner, options):
  """Raises for what Beam would drop with a warning; other runners may know more than it does."""
  known, before = options.get_all_options(), ""
  for argument in arguments:
    name = argument.removeprefix("--").partition("=")[0]
    is_value = not argument.startswith("-") and before.startswith("--") and "=" not in before
    if not is_value and (
      not argument.startswith("--") or (runner in _RUNNERS and name not in known)
    ):
      raise ValueError(f"unknown argument {argument}")
    before = argument


def _patterns(path, task):
  """What an input stands for."""
  if _GLOB.search(path):
    fixed = path[: _GLOB.search(path).start()].rpartition("/")[0]
    root = fixed or ("/" if path.startswith("/") else ".")
    glob = path if "/" in path else f"./{path}"
    # Here ** also stands for no folder at all, as it does in a shell; in Beam it does not.
    result = [_Pattern(g, root) for g in dict.fromkeys((glob, glob.replace("/**/", "/")))]
  elif not os.path.isdir(path) and _matches(path):
    return [_Pattern(path, posixpath.dirname(path))]
  else:
    root = path.rstrip("/") or "/"
    result = [_Pattern(f"{root.rstrip('/')}/**", root, task.suffixes)]
  if not any(_matches(pattern.glob) for pattern in result):
    raise ValueError(f"no file matches {path}")
  return result


def _matches(glob):
  return bool(FileSystems.match([glob], limits=[1])[0].metadata_list)


class _Find(beam.DoFn):
  """A pattern -> places of results below the output, each with a source and its bytes."""

  def __init__(self, output: str, new_suffix: str):
    self._output = _plain(output) + "/"
    self._new_suffix = new_suffix

  def process(self, pattern):
    for found in FileSystems.match([pattern.glob])[0].metadata_list:
      source = _plain(found.path)
      place = posixpath.relpath(source, pattern.root) if pattern.root else source
      if not self._is_meant(pattern, source, place):
        continue
      try:
        source.encode()
      except UnicodeEncodeError:
        name = source.encode(errors="backslashreplace").decode()
        yield _failure(name, "its name is not UTF-8; rename it")
        continue
      yield posixpath.splitext(place)[0] + self._new_suffix, (source, found.size_in_bytes)

  def _is_meant(self, pattern, source, place):
    if batch.TEMPORARY.search(source):
      return False
    if not _GLOB.search(pattern.glob):
      return True
    if source.startswith(self._output) or any(p.startswith(".") for p in place.split("/")):
      return False
    return not pattern.suffixes or posixpath.splitext(place)[1].lower() in pattern.suffixes


def _plain(path):
  """Without needless parts; the // of a scheme stays."""
  return path.rstrip("/") if "://" in path else posixpath.normpath(path)


class _Convert(beam.DoFn):
  """A place and its sources -> a row of the manifest, or rows of the failures."""

  def __init__(self, task: Task, output: str):
    self._task, self._output = task, output
    self._shared = shared.Shared()

  def setup(self):
    self._codec = self._shared.acquire(self._task.load)

  def process(self, element):
    place, found = element[0], sorted(set(element[1]))
    if len(found) > 1:
      names = " and ".join(source for source, _ in found)
      for source, _ in found:
        yield _failure(source, f"{names} would become the same {place}; rename them")
      return
    ((source, source_bytes),) = found
    target = FileSystems.join(self._output, place)
    try:
      result, height, width = self._existing(source, target) or self._made(source, target)
    except _WriteError:
      raise  # Not this file's fault: the runner tries again, or gives up.
    except Exception as error:  # A defect that one file meets must not cost the others theirs.
      yield _failure(source, batch.reason(source, error))
      return
    coded = len(result) if self._task.compresses else source_bytes
    bpp = f"{8 * coded / (height * width):.4f}"
    digest = hashlib.sha256(result).hexdigest()
    yield source, place, source_bytes, len(result), width, height, bpp, digest

  def _existing(self, source, target):
    if not FileSystems.exists(target):
      return None
    result = storage.read_file(target)
    size = self._task.finished(self._codec, source, result)
    if size is None:
      return None
    _count(existing=1)
    return result, *size

  def _made(self, source, target):
    content = storage.read_file(source)
    result, height, width = self._task.convert(self._codec, source, content)
    try:
      storage.write_file(target, result)
    except OSError as error:
      raise _WriteError(f"{target}: {error}") from error
    _count(files=1, bytes_in=len(content), bytes_out=len(result))
    return result, height, width


class _WriteError(RuntimeError):
  """A result could not be written."""


def _failure(source, reason):
  _count(failures=1)
  return beam.pvalue.TaggedOutput(_FAILED, (source, reason))


def _count(**numbers):
  """Adds to what `Outcome` reports."""
  for name, number in numbers.items():
    Metrics.counter(__name__, name).inc(number)


def _outcome(result):
  totals = dict.fromkeys((field.name for field in dataclasses.fields(Outcome)), 0)
  # Several steps may count the same.
  for counter in result.metrics().query(MetricsFilter().with_namespace(__name__))["counters"]:
    totals[counter.key.metric.name] += counter.committed or counter.attempted
  return Outcome(**totals)
