"""Converts one file of a corpus, or keeps its existing result."""

from typing import Any, NamedTuple, Optional, Protocol

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import shared

from bmshj_minnen.command_line import files, manifest
from bmshj_minnen.corpus import file_rows, listing, storage
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.file_tools.errors import reason

__all__ = ["Convert", "Task"]


class Task(Protocol):
  """Conversion of files; sent to the workers, so it holds settings only."""

  suffixes: frozenset[str]  # Suffixes of the files that are taken from folders, in lower case.
  new_suffix: str
  compresses: bool  # Whether the results are the compressed files, rather than the sources.

  def load(self) -> Any:
    """The codec, loaded once per worker process and used by several threads."""

  def convert(self, codec: Any, path: str, content: bytes) -> tuple[bytes, int, int]:
    """The result, and height and width of its image; raises if the file cannot be converted."""

  def request(self, codec: Any) -> str:
    """All settings that results depend on, apart from their sources, as text."""

  def is_own(self, content: bytes) -> bool:
    """Whether this task certainly wrote an existing file with this content."""

  def finished(
    self, codec: Any, path: str, content: bytes, result: bytes
  ) -> Optional[tuple[int, int]]:
    """Height and width if `result` is complete and satisfies the request for the source; else None.

    Raises an error if the content is not valid.

    Args:
      codec: the codec of `load`.
      path: path of the source.
      content: content of the source.
      result: content of an existing result.
    """


class Convert(beam.DoFn):
  """Files, by number -> rows, all under one key.

  An existing result is kept if it belongs to the present source and to this request. Its row in the
  manifest then has the source's hash and the request. If a run was killed before it wrote its
  manifest, the times of the files must match, and the result must be complete and satisfy the
  request.

  Args:
    task: the conversion of each file.
    output: folder for results.
    overwrite: whether results replace files of other programs.
  """

  def __init__(self, task: Task, output: str, overwrite: bool):
    self._task, self._output, self._overwrite = task, output, overwrite
    self._shared = shared.Shared()

  def setup(self):
    self._codec = self._shared.acquire(self._task.load)

  def process(self, element):
    for work in element[1]:
      yield 0, self._row(listing.PlannedFile(*work))

  def _row(self, work):
    try:
      return self._converted(work, FileSystems.join(self._output, work.place))
    except storage.WriteError:
      raise  # The file is not the cause: the runner tries again, or gives up.
    except Exception as error:  # A defect met by one file must not end the run.
      return file_rows.FileRow(file_rows.FAILED, (work.source, reason(work.path, error)))

  def _converted(self, work, target):
    version, content = outputs.version_of(work.path), storage.read_file(work.path)
    there = storage.read_file(target) if FileSystems.exists(target) else b""
    # The row does not apply to another file at that place.
    record = work.record if work.record.get("sha256") == manifest.digest(there) else {}
    origin = manifest.digest(content), self._task.request(self._codec)
    case = _Case(work, version, content, target, there, record, origin)
    state, result, height, width = self._existing(case) or self._made(case)
    coded = result if self._task.compresses else content
    sizes = len(content), len(result), width, height
    names, origin = (work.source, work.place), (manifest.digest(result), *origin)
    return file_rows.FileRow(state, manifest.cells_of(names, sizes, len(coded), origin))

  def _existing(self, case):
    """State, result, height and width, if the existing result is kept; else None."""
    if not case.there:
      return None
    state, record = file_rows.EXISTING, case.record
    if storage.last_changed(case.target) != case.work.before:
      # An engine repeats the task of a worker that died, and finds results of this run.
      state = file_rows.MADE
    elif record.get("source_sha256"):
      source_sha256, request = case.origin
      if not manifest.is_kept(record, request, record["sha256"], lambda: source_sha256):
        return None
      storage.take_time_of(case.target, case.work.path)
      return state, case.there, int(record["height"]), int(record["width"])
    elif not storage.is_made_of(case.target, case.work.path):
      return None
    size = self._task.finished(self._codec, case.work.path, case.content, case.there)
    return size and (state, case.there, *size)

  def _made(self, case):
    path = case.work.path
    line = manifest.refusal(case.record, case.target, case.work.source)
    if line and not self._overwrite:
      raise ValueError(line)
    result, height, width = self._task.convert(self._codec, path, case.content)

    def is_own(content):
      is_damaged = manifest.is_of_listed_size(
        case.work.record, len(case.there)
      ) and storage.is_made_of(case.target, path)
      return bool(case.record) or is_damaged or self._task.is_own(content)

    line = files.loss(case.target, case.there, result, is_own, skip_existing=True)
    if line and not self._overwrite:
      raise ValueError(line)
    outputs.refuse_change(path, case.version)
    storage.write_file(case.target, result, path)
    return file_rows.MADE, result, height, width


class _Case(NamedTuple):
  """The file that is being converted.

  Attributes:
    work: source and place of the result.
    version: version of the source, see `outputs.version_of`.
    content: content of the source.
    target: path of the result.
    there: content of the existing result; empty without one.
    record: row of that result in the manifest; empty without one.
    origin: expected `source_sha256` and `request` of that row.
  """

  work: listing.PlannedFile
  version: Optional[tuple[int, ...]]
  content: bytes
  target: str
  there: bytes
  record: dict[str, str]
  origin: tuple[str, str]
