"""One file of a corpus: its result is there already, or is made."""

import hashlib
from typing import Any, NamedTuple, Optional, Protocol

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import shared

from bmshj_minnen.command_line import files
from bmshj_minnen.corpus import finding, outcome, storage
from bmshj_minnen.photographs import outputs
from bmshj_minnen.photographs.reason import reason

__all__ = ["Convert", "Task"]


class Task(Protocol):
  """How files are converted; travels to the workers, so it holds settings only."""

  suffixes: frozenset[str]  # Of the files that are taken from folders, in lower case.
  new_suffix: str
  compresses: bool  # Whether the results are the compressed files, rather than the sources.

  def load(self) -> Any:
    """The codec, once a worker process; used by several threads."""

  def convert(self, codec: Any, path: str, content: bytes) -> tuple[bytes, int, int]:
    """The result, and height and width of its image; raises whatever is wrong with the file."""

  def request(self, codec: Any) -> str:
    """All that results depend on but their sources, as text."""

  def is_own(self, content: bytes) -> bool:
    """Whether a file that is there was written by this task for certain."""

  def finished(
    self, codec: Any, path: str, content: bytes, result: bytes
  ) -> Optional[tuple[int, int]]:
    """Height and width if `result` is whole and answers the request for `content`, of `path`.

    Raises whatever is wrong with the content.
    """


class Convert(beam.DoFn):
  """Files, by number -> rows, all under one key.

  A result that is there is kept if it is of its source as that is now, and of this request: because
  its row in the manifest has the source's hash and the request; or because, where a run was killed
  before it wrote its manifest, the times say so, the result is whole and answers the request.

  Args:
    task: what is done to each.
    output: the folder for results.
    overwrite: whether they replace what other programs wrote.
  """

  def __init__(self, task: Task, output: str, overwrite: bool):
    self._task, self._output, self._overwrite = task, output, overwrite
    self._shared = shared.Shared()

  def setup(self):
    self._codec = self._shared.acquire(self._task.load)

  def process(self, element):
    for work in element[1]:
      yield 0, self._row(finding.Work(*work))

  def _row(self, work):
    try:
      return self._converted(work, FileSystems.join(self._output, work.place))
    except storage.WriteError:
      raise  # Not this file's fault: the runner tries again, or gives up.
    except Exception as error:  # A defect that one file meets must not cost the others theirs.
      return outcome.Row(outcome.FAILED, (work.source, reason(work.path, error)))

  def _converted(self, work, target):
    version, content = outputs.version_of(work.path), storage.read_file(work.path)
    there = storage.read_file(target) if FileSystems.exists(target) else b""
    # Of another file at that place the row says nothing.
    record = work.record if work.record.get("sha256") == _digest(there) else {}
    origin = {"source_sha256": _digest(content), "request": self._task.request(self._codec)}
    case = _Case(work, version, content, target, there, record, origin)
    state, result, height, width = self._existing(case) or self._made(case)
    coded = result if self._task.compresses else content
    bpp = f"{8 * len(coded) / (height * width):.4f}"
    sizes = len(content), len(result), width, height
    cells = work.source, work.place, *sizes, bpp, _digest(result), *origin.values()
    return outcome.Row(state, cells)

  def _existing(self, case):
    """State, result, height and width, if that need not be made; else None."""
    if not case.there:
      return None
    state, record = outcome.EXISTING, case.record
    if storage.last_changed(case.target) != case.work.before:
      # An engine does a task again whose worker has died: that it finds results of this run.
      state = outcome.MADE
    elif record.get("source_sha256"):
      same = all(record[column] == cell for column, cell in case.origin.items())
      size = int(record["height"]), int(record["width"])
      return (state, case.there, *size) if same else None
    elif not storage.is_made_of(case.target, case.work.path):
      return None
    size = self._task.finished(self._codec, case.work.path, case.content, case.there)
    return size and (state, case.there, *size)

  def _made(self, case):
    path, other = case.work.path, case.record.get("source", case.work.source)
    if other != case.work.source and not self._overwrite:
      raise ValueError(
        f"{case.target} was made of another source, {other}: --overwrite replaces it"
      )
    result, height, width = self._task.convert(self._codec, path, case.content)

    def is_own(content):
      return bool(case.record) or self._task.is_own(content)

    line = files.loss(case.target, case.there, result, is_own, skip_existing=True)
    if line and not self._overwrite:
      raise ValueError(line)
    outputs.refuse_change(path, case.version)
    storage.write_file(case.target, result, path)
    return outcome.MADE, result, height, width


class _Case(NamedTuple):
  """A file in hand.

  Attributes:
    work: what is to be done.
    version: of the source, see `outputs.version_of`.
    content: of the source.
    target: where the result goes.
    there: what is there now.
    record: its row in the manifest; empty: it has none.
    origin: what that row has to say about the source and the request.
  """

  work: finding.Work
  version: Optional[tuple[int, ...]]
  content: bytes
  target: str
  there: bytes
  record: dict[str, str]
  origin: dict[str, str]


def _digest(content):
  return hashlib.sha256(content).hexdigest()
