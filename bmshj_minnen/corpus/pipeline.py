"""A corpus of files through the codec with Apache Beam, on one machine or on a cluster.

    here          files ──► places of results, and what cannot be done
    workers                 convert, or there already ──► rows: made, existing or failed
    one worker              all rows ──► manifest.csv, failures.csv, counts.json
    here                    counts

What becomes what is as in `planning`. Paths are any that Beam's file systems know, such as gs://.
Steps are only those that every engine has: no side outputs, no metrics, no writing of Beam's own.
"""

import dataclasses
import hashlib
import importlib
import re
import secrets
from typing import Any, Optional, Protocol

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState
from apache_beam.utils import shared

from bmshj_minnen.corpus import finding, outcome, storage
from bmshj_minnen.photographs.reason import reason

__all__ = ["Corpus", "Task", "run"]

# In the process itself: Beam's own choice for DirectRunner may download a runner first.
_RUNNERS = {
  "DirectRunner": "apache_beam.runners.portability.fn_api_runner.fn_runner.FnApiRunner",
  "DaskRunner": "apache_beam.runners.dask.dask_runner.DaskRunner",
}
# Parts that Dask divides files among. They grow with the corpus, but more slowly: what it costs to
# send files from part to part grows faster than their number.
_MIN_DASK_PARTS, _MAX_DASK_PARTS = 32, 1024
_FILES_OF_DASK_PART = 200
# What the error of a pipeline says about `storage.write_file`.
_UNWRITTEN = re.compile(r"WriteError: (.*) \[while running '")


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
  _import_runner(runner)
  options = PipelineOptions(arguments, runner=_RUNNERS.get(runner, runner))
  _refuse_unknown(arguments, runner, options)
  patterns = [p for path in corpus.inputs for p in finding.patterns_of(path, task.suffixes)]
  output = finding.absolute(corpus.output)
  works, failures = finding.find(patterns, output, task.new_suffix)
  failures = [outcome.Row(outcome.FAILED, failure) for failure in failures]
  name = secrets.token_hex(8)
  if works:
    if runner == "DaskRunner":
      options = PipelineOptions(_with_parts(arguments, len(works)), runner=_RUNNERS[runner])
    pipeline = beam.Pipeline(options=options)
    # The first groups let engines hand out the files that they would keep in one place else; the
    # second is all rows. Whole numbers are keys that every process groups alike.
    _ = (
      pipeline
      | "Files" >> beam.Create(list(enumerate(works)))
      | "Hand out" >> beam.GroupByKey()
      | "Convert" >> beam.ParDo(_Convert(task, output))
      | "All rows" >> beam.GroupByKey()
      | "Write tables" >> beam.ParDo(_WriteTables(output, name, failures))
    )
    _finish(pipeline)
  else:  # Nothing would reach the last step.
    outcome.write_tables(failures, output, name)
  return outcome.read_counts(output, name)


def _finish(pipeline):
  result = None
  try:
    result = pipeline.run()
    state = result.wait_until_finish()
  except storage.WriteError as error:
    raise OSError(f"cannot write: {error}") from error
  except RuntimeError as error:
    found = _UNWRITTEN.search(str(error))
    if not found:
      raise
    raise OSError(f"cannot write: {found[1]}") from error
  finally:
    if hasattr(result, "client"):  # Of Dask.
      result.client.close()
  if state not in (None, PipelineState.DONE):
    raise RuntimeError(f"the pipeline ended as {state}")


def _import_runner(runner):
  """Lets Beam know the runner's arguments."""
  if runner not in _RUNNERS:
    return
  try:
    importlib.import_module(_RUNNERS[runner].rpartition(".")[0])
    if runner == "DaskRunner":
      importlib.import_module("dask.distributed")
  except ImportError as error:
    raise ValueError(f"{runner} is not installed ({error}): pip install '.[dask]'") from error


def _with_parts(arguments, files):
  """Arguments of Dask, which would make so large parts that few workers get any."""
  if any(argument.startswith(("--dask_npart", "--dask_part")) for argument in arguments):
    return arguments
  parts = max(_MIN_DASK_PARTS, min(_MAX_DASK_PARTS, files // _FILES_OF_DASK_PART))
  return [*arguments, f"--dask_npartitions={min(files, parts)}"]


def _refuse_unknown(arguments, runner, options):
  """Raises for what Beam would drop with a warning; other runners may know more than it does."""
  parsers, before = [], ""
  options.get_all_options(add_extra_args_fn=parsers.append)
  for argument in parsers[0].parse_known_args(arguments)[1]:
    is_value = not argument.startswith("-") and before.startswith("--") and "=" not in before
    if runner in _RUNNERS or not (is_value or argument.startswith("--")):
      raise ValueError(f"unknown argument {argument}")
    before = argument


class _Convert(beam.DoFn):
  """Files, by number -> rows, all under one key."""

  def __init__(self, task: Task, output: str):
    self._task, self._output = task, output
    self._shared = shared.Shared()

  def setup(self):
    self._codec = self._shared.acquire(self._task.load)

  def process(self, element):
    for work in element[1]:
      yield 0, self._row(finding.Work(*work))

  def _row(self, work):
    target = FileSystems.join(self._output, work.place)
    try:
      state, result, height, width = self._existing(work, target) or self._made(work, target)
    except storage.WriteError:
      raise  # Not this file's fault: the runner tries again, or gives up.
    except Exception as error:  # A defect that one file meets must not cost the others theirs.
      return outcome.Row(outcome.FAILED, (work.source, reason(work.path, error)))
    coded = len(result) if self._task.compresses else work.source_bytes
    bpp = f"{8 * coded / (height * width):.4f}"
    digest = hashlib.sha256(result).hexdigest()
    sizes = (work.source_bytes, len(result), width, height)
    return outcome.Row(state, (work.source, work.place, *sizes, bpp, digest))

  def _existing(self, work, target):
    if not FileSystems.exists(target):
      return None
    result = storage.read_file(target)
    size = self._task.finished(self._codec, work.path, result)
    if size is None:
      return None
    # An engine does a task again whose worker has died: that it finds results of this run.
    written = FileSystems.get_filesystem(target).metadata(target).last_updated_in_seconds
    state = outcome.EXISTING if written == work.before else outcome.MADE
    return state, result, *size

  def _made(self, work, target):
    content = storage.read_file(work.path)
    result, height, width = self._task.convert(self._codec, work.path, content)
    storage.write_file(target, result)
    return outcome.MADE, result, height, width


class _WriteTables(beam.DoFn):
  """All rows -> the tables."""

  def __init__(self, output: str, name: str, rows: list[outcome.Row]):
    self._output, self._name, self._rows = output, name, rows

  def process(self, element):
    rows = [outcome.Row(*row) for row in element[1]]
    outcome.write_tables(rows + self._rows, self._output, self._name)
