"""A corpus of files through the codec with Apache Beam, on one machine or on a cluster.

    inputs ──► sources by target ──┬─ one ──► convert, or there already ──► manifest.csv
                                   │                      │
                                   └─ several             └─ bad ──┐
                                         └─────────────────────────┴──► failures.csv

What becomes what is as in `planning`. Paths are any that Beam's file systems know, such as gs://.
"""

import dataclasses
import hashlib
import re
from typing import Any, Optional, Protocol

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState
from apache_beam.utils import shared

from bmshj_minnen.corpus import finding, outcome, storage
from bmshj_minnen.photographs.reason import reason

__all__ = ["FAILURE_COLUMNS", "MANIFEST_COLUMNS", "Corpus", "Task", "run"]

MANIFEST_COLUMNS = ("source", "file", "source_bytes", "bytes", "width", "height", "bpp", "sha256")
FAILURE_COLUMNS = ("source", "reason")

# In the process itself. Beam's own choice may download a runner first.
_RUNNERS = {
  "DirectRunner": "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
}
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


def run(corpus: Corpus, task: Task, runner: str, arguments: list[str]) -> outcome.Outcome:
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
  patterns = [p for path in corpus.inputs for p in finding.patterns_of(path, task.suffixes)]
  options = PipelineOptions(arguments, runner=_RUNNERS.get(runner, runner))
  _refuse_unknown(arguments, runner, options)
  find = finding.Find(corpus.output, task.new_suffix)
  pipeline = beam.Pipeline(options=options)
  found = (
    pipeline
    | "Inputs" >> beam.Create(patterns)
    | "Find" >> beam.ParDo(find).with_outputs(outcome.FAILED, main="ok")
  )
  converted = (
    found.ok
    | "By target" >> beam.GroupByKey()
    | "Convert" >> beam.ParDo(_Convert(task, corpus.output)).with_outputs(outcome.FAILED, main="ok")
  )
  failures = (found[outcome.FAILED], converted[outcome.FAILED]) | "All failures" >> beam.Flatten()
  storage.write_table(converted.ok, corpus.output, "manifest", MANIFEST_COLUMNS)
  storage.write_table(failures, corpus.output, "failures", FAILURE_COLUMNS)
  return outcome.Outcome.of(_finish(pipeline))


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
        yield outcome.failure(source, f"{names} would become the same {place}; rename them")
      return
    ((source, source_bytes),) = found
    target = FileSystems.join(self._output, place)
    try:
      result, height, width = self._existing(source, target) or self._made(source, target)
    except _WriteError:
      raise  # Not this file's fault: the runner tries again, or gives up.
    except Exception as error:  # A defect that one file meets must not cost the others theirs.
      yield outcome.failure(source, reason(source, error))
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
    outcome.count(existing=1)
    return result, *size

  def _made(self, source, target):
    content = storage.read_file(source)
    result, height, width = self._task.convert(self._codec, source, content)
    try:
      storage.write_file(target, result)
    except OSError as error:
      raise _WriteError(f"{target}: {error}") from error
    outcome.count(files=1, bytes_in=len(content), bytes_out=len(result))
    return result, height, width


class _WriteError(RuntimeError):
  """A result could not be written."""
