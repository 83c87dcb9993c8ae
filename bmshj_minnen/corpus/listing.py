"""Finds the source files of a corpus and the places of their results."""

import dataclasses
import os
import posixpath
import re
from typing import Callable, NamedTuple, Optional

from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.command_line import planning
from bmshj_minnen.corpus import storage

__all__ = ["Found", "Pattern", "PlannedFile", "absolute", "find", "patterns_of"]

_GLOB = re.compile(r"[*?\[]")


@dataclasses.dataclass(frozen=True)
class Pattern:
  """Files on any of Beam's file systems.

  Attributes:
    path: the input of the user.
    glob: the pattern that Beam's file systems match.
    root: the folder that places are relative to.
    suffixes: suffixes of the files that are taken, in lower case; empty: all files are taken.
    file: the only file to take; empty: all files that are neither hidden nor below the output.
  """

  path: str
  glob: str
  root: str
  suffixes: frozenset[str] = frozenset()
  file: str = ""


def patterns_of(path: str, suffixes: frozenset[str]) -> list[Pattern]:
  """Patterns of an input: a file or a folder of that name if there is one, else a glob.

  Args:
    path: the input.
    suffixes: suffixes of the files that are taken from folders, in lower case.

  Raises:
    ValueError: the input matches no file.
  """
  if _GLOB.search(path) and not FileSystems.exists(path):
    fixed = path[: _GLOB.search(path).start()].rpartition("/")[0]
    root = fixed or ("/" if path.startswith("/") else ".")
    glob = _from_here(path)
    # Here ** also matches zero folders, as in a shell; in Beam it does not.
    result = [Pattern(path, g, root) for g in dict.fromkeys((glob, glob.replace("/**/", "/")))]
  elif not os.path.isdir(path) and _matches(_literal(path)):
    return [Pattern(path, _literal(path), posixpath.dirname(path), file=_plain(path))]
  else:
    root = path.rstrip("/") or "/"
    result = [Pattern(path, _literal(root.rstrip("/") + "/") + "**", root, suffixes)]
  if not any(_matches(pattern.glob) for pattern in result):
    raise ValueError(planning.nothing_found(path, frozenset()))
  return result


def _literal(path):
  """A glob for a path; Beam has no quotes, so it may match other files, which are removed later."""
  return _from_here(_GLOB.sub("?", path))


def _from_here(glob):
  """A glob with a folder before its first wildcard, without which Beam finds no file."""
  return glob if "/" in _GLOB.split(glob)[0] else f"./{glob}"


def _match(glob):
  return FileSystems.match([glob])[0].metadata_list


def _matches(glob):
  return bool(FileSystems.match([glob], limits=[1])[0].metadata_list)


class PlannedFile(NamedTuple):
  """A source and the place of its result; sent to the workers.

  Attributes:
    source: path of the source, as its pattern names it.
    path: absolute path of the source.
    place: path of the result, relative to the output.
    before: time of the last change of an existing result, in seconds; None without one.
    record: row of that result in the manifest of earlier runs, by column; empty without one.
  """

  source: str
  path: str
  place: str
  before: Optional[float]
  record: dict[str, str]


class Found(NamedTuple):
  """Files to convert, and files that cannot be converted.

  Attributes:
    works: files to convert, sorted by place.
    failures: sources that cannot be converted, each with the reason.
  """

  works: list[PlannedFile]
  failures: list[tuple[str, str]]


def find(
  patterns: list[Pattern],
  output: str,
  new_suffix: str,
  problem: Callable[[str], Optional[str]] = lambda target: None,
  manifest: Optional[dict[str, dict[str, str]]] = None,
) -> Found:
  """Finds the source files and their existing results.

  Args:
    patterns: patterns of the source files.
    output: folder for results.
    new_suffix: suffix of results.
    problem: target -> why no result can be written to it; None if one can.
    manifest: manifest of earlier runs, see `run_tables.RunTables`.

  Raises:
    ValueError: an input matches no file, or only files below the output.
  """
  works, failures = [], list(_closed(patterns))
  jobs: dict[planning.Job, str] = {}  # -> Place.
  for pattern, source in _meant(patterns, output):
    try:
      source.encode()
    except UnicodeEncodeError:
      name = source.encode(errors="backslashreplace").decode()
      failures.append((name, "its name is not UTF-8; rename it"))
      continue
    place = posixpath.splitext(_place(pattern, source))[0] + new_suffix
    jobs[planning.Job(source, FileSystems.join(output, place))] = place
  refusals = dict(planning.refused(list(jobs), problem, _real))
  before = _times(output)
  for job, place in sorted(jobs.items(), key=lambda item: item[1]):
    if job in refusals:
      failures.append((job.source, refusals[job].line.removeprefix(f"{job.source}: ")))
      continue
    written, record = before.get(absolute(job.target)), (manifest or {}).get(place, {})
    works.append(PlannedFile(job.source, absolute(job.source), place, written, record))
  return Found(works, list(dict.fromkeys(failures)))


def _closed(patterns):
  """Folders that cannot be read, which Beam would pass over, each with the reason."""
  unread: list[OSError] = []
  for root in dict.fromkeys(p.root for p in patterns if p.suffixes and storage.is_local(p.root)):
    for _, folders, _ in os.walk(root, onerror=unread.append):
      folders[:] = [name for name in folders if not name.startswith(".")]
  return ((error.filename, error.strerror) for error in unread)


def _meant(patterns, output):
  """Pairs of a pattern and a file that it takes."""
  below = absolute(output) + "/"
  found = [(p, _plain(f.path)) for p in patterns for f in _match(p.glob)]
  meant = [(pattern, source) for pattern, source in found if _is_meant(pattern, source)]
  sources = [(p, source) for p, source in meant if p.file or not absolute(source).startswith(below)]
  inputs, inputs_meant = ({p.path for p, _ in some} for some in (sources, meant))
  for path, suffixes in dict.fromkeys((p.path, p.suffixes) for p in patterns):
    if path in inputs:
      continue
    if path in inputs_meant:
      raise ValueError(f"all files of {path} lie below the output, {output}: let that be elsewhere")
    raise ValueError(planning.nothing_found(path, suffixes))
  return sources


def _times(output):
  """Absolute path -> time of the last change, for all files below the output."""
  found = {absolute(f.path): f for f in _match(_literal(output.rstrip("/") + "/") + "**")}
  return {p: storage.last_changed(p, f.last_updated_in_seconds) for p, f in found.items()}


def _is_meant(pattern, source):
  if planning.TEMPORARY.search(source):
    return False
  if pattern.file:
    return source == pattern.file
  if storage.is_local(source) and planning.is_special(source):
    return False  # Reading it could wait forever.
  # Places outside the root begin with "..", and count as hidden.
  place = _place(pattern, source)
  if any(part.startswith(".") for part in place.split("/")):
    return False
  return not pattern.suffixes or posixpath.splitext(place)[1].lower() in pattern.suffixes


def _place(pattern, source):
  """Path of a source, relative to the folder of its pattern."""
  return posixpath.relpath(source, pattern.root) if pattern.root else source


def _real(path):
  """One path for all names of the same file."""
  return os.path.realpath(path) if storage.is_local(path) else path


def _plain(path):
  """A path without needless parts; the // of a scheme stays."""
  return posixpath.normpath(path) if storage.is_local(path) else path.rstrip("/")


def absolute(path: str) -> str:
  """An absolute path, for workers whose working directory may differ."""
  return _plain(os.path.abspath(path) if storage.is_local(path) else path)
