"""Which files the inputs of a corpus mean, and where their results go."""

import dataclasses
import os
import posixpath
import re

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from bmshj_minnen.command_line import planning
from bmshj_minnen.corpus import outcome

__all__ = ["Find", "Pattern", "patterns_of"]

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
  """Beam quotes nothing, so this matches others too, which `Find` leaves out."""
  return _from_here(_GLOB.sub("?", path))


def _from_here(glob):
  """Beam looks nowhere for a glob without a folder before its first wildcard."""
  return glob if "/" in _GLOB.split(glob)[0] else f"./{glob}"


def _matches(glob):
  return bool(FileSystems.match([glob], limits=[1])[0].metadata_list)


class Find(beam.DoFn):
  """A pattern -> places of results below the output, each with a source and its bytes.

  Args:
    output: the folder for results.
    new_suffix: of results.
  """

  def __init__(self, output: str, new_suffix: str):
    self._output = _absolute(output) + "/"
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
        yield outcome.failure(name, "its name is not UTF-8; rename it")
        continue
      yield posixpath.splitext(place)[0] + self._new_suffix, (source, found.size_in_bytes)

  def _is_meant(self, pattern, source, place):
    if planning.TEMPORARY.search(source):
      return False
    if pattern.file:
      return source == pattern.file
    # Places outside the root begin with "..", as if they were hidden.
    is_hidden = any(part.startswith(".") for part in place.split("/"))
    if is_hidden or _absolute(source).startswith(self._output):
      return False
    return not pattern.suffixes or posixpath.splitext(place)[1].lower() in pattern.suffixes


def _plain(path):
  """Without needless parts; the // of a scheme stays."""
  return path.rstrip("/") if "://" in path else posixpath.normpath(path)


def _absolute(path):
  return _plain(path if "://" in path else os.path.abspath(path))
