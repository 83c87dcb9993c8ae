"""Which files the inputs of a corpus mean, and where their results go."""

import dataclasses
import os
import posixpath
import re
from typing import Callable, NamedTuple, Optional

from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.command_line import planning
from bmshj_minnen.corpus import storage

__all__ = ["Found", "Pattern", "Work", "absolute", "find", "patterns_of"]

_GLOB = re.compile(r"[*?\[]")


@dataclasses.dataclass(frozen=True)
class Pattern:
  """Files on any of Beam's file systems.

  Attributes:
    path: the input that asks for them.
    glob: what the file systems match.
    root: the folder that places are below.
    suffixes: of the files that are meant, in lower case; none: all are.
    file: the one file that is meant; empty: all that are neither hidden nor below the output.
  """

  path: str
  glob: str
  root: str
  suffixes: frozenset[str] = frozenset()
  file: str = ""


def patterns_of(path: str, suffixes: frozenset[str]) -> list[Pattern]:
  """What an input stands for: a file or a folder of that name if there is one, else a glob.

  Args:
    path: the input.
    suffixes: of the files that are taken from folders, in lower case.

  Raises:
    ValueError: it matches nothing.
  """
  if _GLOB.search(path) and not FileSystems.exists(path):
    fixed = path[: _GLOB.search(path).start()].rpartition("/")[0]
    root = fixed or ("/" if path.startswith("/") else ".")
    glob = _from_here(path)
    # Here ** also stands for no folder at all, as it does in a shell; in Beam it does not.
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
  """Beam quotes nothing, so this matches others too, which are left out later."""
  return _from_here(_GLOB.sub("?", path))


def _from_here(glob):
  """Beam looks nowhere for a glob without a folder before its first wildcard."""
  return glob if "/" in _GLOB.split(glob)[0] else f"./{glob}"


def _match(glob):
  return FileSystems.match([glob])[0].metadata_list


def _matches(glob):
  return bool(FileSystems.match([glob], limits=[1])[0].metadata_list)


class Work(NamedTuple):
  """A file and what becomes of it; travels to the workers.

  Attributes:
    source: the file, as its pattern names it.
    path: the same, absolute.
    place: of the result, below the output.
    before: when that result was last changed, if it was there already, in seconds.
    record: its row in the manifest of earlier runs, by column; empty: it has none.
  """

  source: str
  path: str
  place: str
  before: Optional[float]
  record: dict[str, str]


class Found(NamedTuple):
  """What there is to do.

  Attributes:
    works: sorted by place.
    failures: sources that nothing can be made of, each with the reason.
  """

  works: list[Work]
  failures: list[tuple[str, str]]


def find(
  patterns: list[Pattern],
  output: str,
  new_suffix: str,
  problem: Callable[[str], Optional[str]] = lambda target: None,
  manifest: Optional[dict[str, dict[str, str]]] = None,
) -> Found:
  """Finds the files that are meant, and what is at the places of their results.

  Args:
    patterns: of the files.
    output: the folder for results.
    new_suffix: of results.
    problem: target -> why no result can go there.
    manifest: of earlier runs, see `tables.Tables`.

  Raises:
    ValueError: an input stands for no file.
  """
  works, failures = [], []
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
    works.append(Work(job.source, absolute(job.source), place, written, record))
  return Found(works, list(dict.fromkeys(failures)))


def _meant(patterns, output):
  """Patterns, and the files that are meant by each."""
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
  """Absolute path -> when it was last changed, of all files below the output."""
  found = {absolute(f.path): f for f in _match(_literal(output.rstrip("/") + "/") + "**")}
  return {p: storage.last_changed(p, f.last_updated_in_seconds) for p, f in found.items()}


def _is_meant(pattern, source):
  if planning.TEMPORARY.search(source):
    return False
  if pattern.file:
    return source == pattern.file
  # Places outside the root begin with "..", as if they were hidden.
  place = _place(pattern, source)
  if any(part.startswith(".") for part in place.split("/")):
    return False
  return not pattern.suffixes or posixpath.splitext(place)[1].lower() in pattern.suffixes


def _place(pattern, source):
  """A source's place below the folder of its pattern."""
  return posixpath.relpath(source, pattern.root) if pattern.root else source


def _real(path):
  """One path for all names of a file."""
  return os.path.realpath(path) if storage.is_local(path) else path


def _plain(path):
  """Without needless parts; the // of a scheme stays."""
  return posixpath.normpath(path) if storage.is_local(path) else path.rstrip("/")


def absolute(path: str) -> str:
  """A path as workers find it, whose working directory may be another one."""
  return _plain(os.path.abspath(path) if storage.is_local(path) else path)
