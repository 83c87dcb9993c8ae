"""Which files the inputs of a corpus mean, and where their results go."""

import dataclasses
import os
import posixpath
import re
from typing import NamedTuple, Optional

from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.command_line import planning

__all__ = ["Found", "Pattern", "Work", "absolute", "find", "patterns_of"]

_GLOB = re.compile(r"[*?\[]")


@dataclasses.dataclass(frozen=True)
class Pattern:
  """Files on any of Beam's file systems.

  Attributes:
    glob: what the file systems match.
    root: the folder that places are below.
    suffixes: of the files that are meant, in lower case; none: all are.
    file: the one file that is meant; empty: all that are neither hidden nor below the output.
  """

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
    result = [Pattern(g, root) for g in dict.fromkeys((glob, glob.replace("/**/", "/")))]
  elif not os.path.isdir(path) and _matches(_literal(path)):
    return [Pattern(_literal(path), posixpath.dirname(path), file=_plain(path))]
  else:
    root = path.rstrip("/") or "/"
    result = [Pattern(_literal(root.rstrip("/") + "/") + "**", root, suffixes)]
  if not any(_matches(pattern.glob) for pattern in result):
    raise ValueError(f"no file matches {path}")
  return result


def _literal(path):
  """Beam quotes nothing, so this matches others too, which are left out later."""
  return _from_here(_GLOB.sub("?", path))


def _from_here(glob):
  """Beam looks nowhere for a glob without a folder before its first wildcard."""
  return glob if "/" in _GLOB.split(glob)[0] else f"./{glob}"


def _matches(glob):
  return bool(FileSystems.match([glob], limits=[1])[0].metadata_list)


class Work(NamedTuple):
  """A file and what becomes of it; travels to the workers.

  Attributes:
    source: the file, as its pattern names it.
    path: the same, absolute.
    source_bytes: of it.
    place: of the result, below the output.
    before: when that result was written, if it was there already, as its file system tells.
  """

  source: str
  path: str
  source_bytes: int
  place: str
  before: Optional[float]


class Found(NamedTuple):
  """What there is to do.

  Attributes:
    works: sorted by place.
    failures: sources that nothing can be made of, each with the reason.
  """

  works: list[Work]
  failures: list[tuple[str, str]]


def find(patterns: list[Pattern], output: str, new_suffix: str) -> Found:
  """Finds the files that are meant, and what is at the places of their results.

  Args:
    patterns: of the files.
    output: the folder for results.
    new_suffix: of results.
  """
  sources, failures = {}, []
  below = absolute(output) + "/"
  for pattern in patterns:
    for found in FileSystems.match([pattern.glob])[0].metadata_list:
      source = _plain(found.path)
      place = posixpath.relpath(source, pattern.root) if pattern.root else source
      if not _is_meant(pattern, source, place, below):
        continue
      try:
        source.encode()
      except UnicodeEncodeError:
        name = source.encode(errors="backslashreplace").decode()
        failures.append((name, "its name is not UTF-8; rename it"))
        continue
      place = posixpath.splitext(place)[0] + new_suffix
      sources.setdefault(place, {})[source] = found.size_in_bytes
  before, works = _times(output), []
  for place, owners in sorted(sources.items()):
    names = " and ".join(sorted(owners))
    for source, size in owners.items():
      if len(owners) > 1:
        failures.append((source, f"{names} would become the same {place}; rename them"))
      else:
        target = absolute(FileSystems.join(output, place))
        works.append(Work(source, absolute(source), size, place, before.get(target)))
  return Found(works, list(dict.fromkeys(failures)))


def _times(output):
  """Absolute path -> when it was written, of all files below the output."""
  below = FileSystems.match([_literal(output.rstrip("/") + "/") + "**"])[0].metadata_list
  return {absolute(found.path): found.last_updated_in_seconds for found in below}


def _is_meant(pattern, source, place, below):
  if planning.TEMPORARY.search(source):
    return False
  if pattern.file:
    return source == pattern.file
  # Places outside the root begin with "..", as if they were hidden.
  is_hidden = any(part.startswith(".") for part in place.split("/"))
  if is_hidden or absolute(source).startswith(below):
    return False
  return not pattern.suffixes or posixpath.splitext(place)[1].lower() in pattern.suffixes


def _plain(path):
  """Without needless parts; the // of a scheme stays."""
  return path.rstrip("/") if "://" in path else posixpath.normpath(path)


def absolute(path: str) -> str:
  """A path as workers find it, whose working directory may be another one."""
  return _plain(path if "://" in path else os.path.abspath(path))
