"""Finds the source files of a request and names their results."""

import collections
import dataclasses
import glob
import os
import re
from collections.abc import Iterator
from typing import Callable, Optional

from bmshj_minnen.command_line import files, manifest
from bmshj_minnen.file_tools import globs
from bmshj_minnen.images import formats

__all__ = [
  "Job",
  "Plan",
  "RefusedFile",
  "Request",
  "find",
  "is_special",
  "make_plan",
  "nothing_found",
  "refused",
]

TEMPORARY = re.compile(r"\.\d+\.tmp$")  # `outputs.write_atomically` may leave such files behind.
# Photographs and their results may share a folder, which needs no note.
_EXPECTED = formats.SUFFIXES | {".tfci", ".tmp"}


@dataclasses.dataclass(frozen=True)
class Request:
  """Request of the command line.

  Attributes:
    paths: without `output_dir`, the source and the target; with it, files, folders and globs.
    output_dir: folder for results, which are named like their sources, with another suffix. Files
      from a folder, or from a glob such as `photos/**/*.png`, keep their places below `photos`.
    recursive: whether subfolders are searched.
    skip_existing: whether existing complete results are kept.
    update: whether results are kept whose row in the manifest shows that they are up to date, and
      those without a row that `skip_existing` would keep.
    keep_smaller: whether photographs are copied that are smaller than their compressed files.
    keep_extensions: whether results have the whole names of their sources before their own suffix,
      such as `a.jpg.tfci`, so that `a.jpg` and `a.png` have results of their own.
  """

  paths: tuple[str, ...]
  output_dir: Optional[str] = None
  recursive: bool = False
  skip_existing: bool = False
  keep_extensions: bool = False
  update: bool = False
  keep_smaller: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
  """A source file and the target file that it is converted to."""

  source: str
  target: str


@dataclasses.dataclass(frozen=True)
class RefusedFile:
  """A conversion that is refused before any file is converted.

  Attributes:
    line: the reason.
    files: number of sources that are refused.
  """

  line: str
  files: int = 1


@dataclasses.dataclass(frozen=True)
class Plan:
  """Jobs of a run.

  Attributes:
    jobs: the conversions, in the order of the request.
    is_folder: whether results go to a folder, so that progress and a summary are shown.
    skip_existing, update, keep_smaller: as in `Request`.
    refusals: conversions that are refused.
    notes: lines to print first, such as one for each folder with files or links that are not taken.
  """

  jobs: list[Job]
  is_folder: bool
  skip_existing: bool = False
  refusals: tuple[RefusedFile, ...] = ()
  notes: tuple[str, ...] = ()
  update: bool = False
  keep_smaller: bool = False


def make_plan(
  request: Request,
  suffixes: frozenset[str],
  new_suffix: str,
  problem: Callable[[str], Optional[str]] = lambda target: None,
) -> Plan:
  """Finds the source files of a request and names their results.

  Args:
    request: the request of the command line.
    suffixes: suffixes of the files that are taken from folders, in lower case. Files that are
      named, or match a glob, are taken whatever their suffix. Hidden files and temporary files of
      killed runs are not taken.
    new_suffix: suffix of results.
    problem: target -> why no result can be written to it; None if one can.

  Raises:
    ValueError: the request is not valid or matches no file, or its only file is refused.
  """
  unread: list[OSError] = []  # Errors of folders.
  if request.output_dir is None:
    flags = [name for name in ("update", "keep_smaller") if getattr(request, name)]
    if flags:
      raise ValueError(f"--{flags[0]} is for --output_dir")
    jobs = [_single_job(request.paths, suffixes)]
  else:
    trouble = not request.output_dir and "--output_dir is empty"
    trouble = trouble or files.folder_problem(request.output_dir, must_exist=False)
    if trouble:
      raise ValueError(trouble)
    jobs = list(dict.fromkeys(_folder_jobs(request, suffixes, new_suffix, unread)))
  refusal_of = dict(refused(jobs, problem, keeps_extensions=request.keep_extensions))
  closed = [RefusedFile(f"{error.filename}: {error.strerror}") for error in unread]
  refusals = tuple(dict.fromkeys((*refusal_of.values(), *closed)))
  if refusals and request.output_dir is None:
    raise ValueError(refusals[0].line)
  jobs = [job for job in jobs if job not in refusal_of]
  left_out = [_left_out(path, suffixes, request) for path in request.paths]
  lines = tuple(filter(None, left_out)) if request.output_dir is not None else ()
  modes = request.update, request.keep_smaller
  is_folder = request.output_dir is not None
  return Plan(jobs, is_folder, request.skip_existing, refusals, lines, *modes)


def _single_job(paths, suffixes):
  if len(paths) != 2 or os.path.isdir(paths[0]):
    raise ValueError("give a file and where its result goes, or --output_dir and any files")
  source, target = paths
  if not source:
    raise ValueError("the name of the file is empty")
  if os.path.splitext(target)[1].lower() in suffixes:
    # Most likely a shell's glob matched two sources; the second must not be overwritten.
    raise ValueError(f"{target} would be overwritten; for several files give --output_dir")
  return Job(source, target)


def _folder_jobs(request, suffixes, new_suffix, unread):
  for path in request.paths:
    if path == files.STREAM:
      raise ValueError("- is standard input, whose result needs a name: give - and a file, or - -")
    found = 0
    for source, place in find(path, suffixes, request.recursive, request.output_dir, unread.append):
      found += 1
      name = place if request.keep_extensions else os.path.splitext(place)[0]
      target = os.path.join(request.output_dir, name + new_suffix)
      yield Job(os.path.normpath(source), os.path.normpath(target))
    if not found:
      if unread:
        raise ValueError(f"{unread[0].filename}: {unread[0].strerror}")
      is_folder = os.path.isdir(path)
      hint = "; --recursive looks into the folders in it"
      line = nothing_found(path, suffixes if is_folder else frozenset())
      raise ValueError(line + hint if is_folder and not request.recursive else line)
  if not request.paths:
    raise ValueError("give files, folders or globs")


def nothing_found(path: str, suffixes: frozenset[str]) -> str:
  """Message for a path without files: a folder without these suffixes, or a glob."""
  if not suffixes:
    return f"no file matches {path}"
  return f"{path}: no file ends in {', '.join(sorted(suffixes))}"


def find(
  path: str,
  suffixes: frozenset[str],
  recursive: bool,
  output: Optional[str] = None,
  on_error: Callable[[OSError], None] = lambda error: None,
) -> Iterator[tuple[str, str]]:
  """Sources, and their places below the folder or the fixed part of the glob.

  Args:
    path: a file, a folder or a glob.
    suffixes: suffixes of the files that are taken from a folder, in lower case. Pipes and devices
      are not taken from folders: reading them could wait forever.
    recursive: whether subfolders are searched.
    output: folder of the results; not searched if it is below `path`.
    on_error: called for each folder that cannot be read.

  Raises:
    ValueError: `path` is empty.
  """
  if not path:
    raise ValueError("the name of a file or folder is empty")
  if os.path.isdir(path):
    for folder, _, names in _walk(path, recursive, output, on_error):
      for name in names:
        source = os.path.join(folder, name)
        if _suffix(name) in suffixes and not is_special(source):
          yield source, os.path.relpath(source, path)
  elif glob.has_magic(path) and not os.path.lexists(path):
    parts = path.split(os.sep)
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = os.sep.join(parts[:fixed]) or (os.sep if os.path.isabs(path) else os.curdir)
    for source in globs.expand(path):
      if os.path.isfile(source) and not TEMPORARY.search(source):
        yield source, os.path.relpath(source, root)
  elif not TEMPORARY.search(path):
    yield path, os.path.basename(path)


def _walk(
  path: str,
  recursive: bool,
  output: Optional[str] = None,
  on_error: Optional[Callable[[OSError], None]] = None,
) -> Iterator[tuple[str, list[str], list[str]]]:
  """Folders, and the subfolders and files in each that are neither hidden nor results."""
  results = os.path.realpath(output) if output else None
  for folder, folders, names in os.walk(path, onerror=on_error):
    real = os.path.realpath(folder)
    folders[:] = sorted(
      name
      for name in folders
      if recursive and not name.startswith(".") and os.path.join(real, name) != results
    )
    yield folder, folders, sorted(name for name in names if not name.startswith("."))


def is_special(path):
  """Whether a path is a pipe, a device or a socket."""
  return not os.path.isfile(path) and os.path.exists(path)


def _suffix(name):
  return os.path.splitext(name)[1].lower()


def _left_out(path, suffixes, request):
  """A line that counts the files and links of a folder that are not taken; None without any."""
  kinds: collections.Counter = collections.Counter()
  links = special = 0
  for folder, folders, names in _walk(path, request.recursive, request.output_dir):
    others = (n for n in names if _suffix(n) not in suffixes | _EXPECTED and n != manifest.NAME)
    special += sum(is_special(os.path.join(folder, n)) for n in names if _suffix(n) in suffixes)
    kinds.update(map(_suffix, others))
    links += sum(os.path.islink(os.path.join(folder, name)) for name in folders)
  counts = ", ".join(f"{n} {kind or 'without a suffix'}" for kind, n in kinds.most_common(5))
  more = ", ..." if len(kinds) > 5 else ""
  parts = (
    [f"files of other kinds left out: {sum(kinds.values())} ({counts}{more})"] if kinds else []
  )
  parts += [f"linked folders not followed: {links}"] if links else []
  parts += [f"pipes and devices left out: {special}"] if special else []
  return f"{path}: {'; '.join(parts)}" if parts else None


def refused(
  jobs: list[Job],
  problem: Callable[[str], Optional[str]],
  place_of: Callable[[str], str] = os.path.realpath,
  keeps_extensions: bool = True,
) -> Iterator[tuple[Job, RefusedFile]]:
  """The jobs that cannot be done; jobs with the same target share a refusal.

  Args:
    jobs: sources and targets.
    problem: target -> why no result can be written to it; None if one can.
    place_of: name -> place, the same for all names of one file.
    keeps_extensions: whether `--keep_extensions` is given or does not exist, so that the line need
      not suggest it.
  """
  sources = {place_of(job.source) for job in jobs if job.source != files.STREAM}
  groups: dict[str, list[Job]] = {}
  for job in jobs:
    groups.setdefault(place_of(job.target), []).append(job)
  for place, group in groups.items():
    target = group[0].target
    is_file = os.path.isfile(place) or not os.path.exists(place)
    if place in sources and is_file and target != files.STREAM:
      line = f"{target} is one of the sources; let its result go elsewhere"
    elif len(group) > 1:
      *others, last = [job.source for job in group]
      remedy = "" if keeps_extensions else ", or give --keep_extensions"
      line = (
        f"{', '.join(others)} and {last} would become one file, {target}: rename them, or give "
        f"them output folders of their own{remedy}"
      )
    else:
      reason = problem(target)
      if reason is None:
        continue
      line = f"{group[0].source}: {reason}" if group[0].source != files.STREAM else reason
    yield from ((job, RefusedFile(line, len(group))) for job in group)
