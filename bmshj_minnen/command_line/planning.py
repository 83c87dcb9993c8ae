"""Which files are meant, and which become what."""

import dataclasses
import glob
import os
import re
from typing import Optional

__all__ = ["Job", "Plan", "Request", "make_plan"]

TEMPORARY = re.compile(r"\.\d+\.tmp$")  # What `outputs.write_atomically` may leave behind.


@dataclasses.dataclass(frozen=True)
class Request:
  """What the command line asks for.

  Attributes:
    paths: without `output_dir`, the source and the target; with it, files, folders and globs.
    output_dir: where results go under the names of their sources, with another suffix. Files from
      a folder, or from a glob such as `photos/**/*.png`, keep their places below `photos`.
    recursive: whether folders within folders are looked into.
    skip_existing: whether results that are there already are kept.
  """

  paths: tuple[str, ...]
  output_dir: Optional[str] = None
  recursive: bool = False
  skip_existing: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
  """A file that becomes another."""

  source: str
  target: str


@dataclasses.dataclass(frozen=True)
class Plan:
  """What is to be done.

  Attributes:
    jobs: sorted as the request names them.
    existing: how many more results are there already.
    is_folder: whether results go to a folder, so that progress and a summary are worth showing.
  """

  jobs: list[Job]
  existing: int
  is_folder: bool


def make_plan(request: Request, suffixes: frozenset[str], new_suffix: str) -> Plan:
  """Finds the files that a request means and names their results.

  Args:
    request: what is asked for.
    suffixes: of the files that are taken from folders, in lower case. Files that are named, or
      match a glob, are taken whatever their suffix. Hidden files and the temporary ones of killed
      runs are not.
    new_suffix: of results.

  Raises:
    ValueError: the request makes no sense, matches nothing, or gives two files one name.
  """
  if request.output_dir is None:
    jobs = [_single_job(request.paths, suffixes)]
  else:
    jobs = list(dict.fromkeys(_folder_jobs(request, suffixes, new_suffix)))
  _refuse_clashes(jobs)
  missing = [j for j in jobs if not (request.skip_existing and os.path.isfile(j.target))]
  return Plan(missing, len(jobs) - len(missing), request.output_dir is not None)


def _single_job(paths, suffixes):
  if len(paths) != 2 or os.path.isdir(paths[0]):
    raise ValueError("give a file and where its result goes, or --output_dir and any files")
  source, target = paths
  if os.path.splitext(target)[1].lower() in suffixes:
    # Most likely a shell's glob that matched two files; the second is precious.
    raise ValueError(f"{target} would be overwritten; for several files give --output_dir")
  return Job(source, target)


def _folder_jobs(request, suffixes, new_suffix):
  for path in request.paths:
    found = 0
    for source, place in _find(path, suffixes, request.recursive):
      found += 1
      target = os.path.join(request.output_dir, os.path.splitext(place)[0] + new_suffix)
      yield Job(os.path.normpath(source), os.path.normpath(target))
    if not found:
      raise ValueError(_nothing_found(path, suffixes, request.recursive))
  if not request.paths:
    raise ValueError("give files, folders or globs")


def _nothing_found(path, suffixes, recursive):
  if not os.path.isdir(path):
    return f"no file matches {path}"
  hint = "" if recursive else "; --recursive looks into the folders in it"
  return f"{path}: no file ends in {', '.join(sorted(suffixes))}{hint}"


def _find(path, suffixes, recursive):
  """Sources, and their places below the folder or the fixed part of the glob."""
  if os.path.isdir(path):
    for folder, folders, names in os.walk(path):
      folders[:] = sorted(f for f in folders if recursive and not f.startswith("."))
      for name in sorted(names):
        if os.path.splitext(name)[1].lower() in suffixes and not name.startswith("."):
          source = os.path.join(folder, name)
          yield source, os.path.relpath(source, path)
  elif glob.has_magic(path) and not os.path.lexists(path):
    parts = path.split(os.sep)
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = os.sep.join(parts[:fixed]) or (os.sep if os.path.isabs(path) else os.curdir)
    for source in sorted(glob.glob(path, recursive=True)):
      if os.path.isfile(source) and not TEMPORARY.search(source):
        yield source, os.path.relpath(source, root)
  elif not TEMPORARY.search(path):
    yield path, os.path.basename(path)


def _refuse_clashes(jobs):
  sources = {os.path.realpath(job.source): job.source for job in jobs}
  owners: dict[str, str] = {}
  for job in jobs:
    target = os.path.realpath(job.target)
    if target in sources:
      raise ValueError(f"{job.target} is one of the sources; let its result go elsewhere")
    if target in owners:
      raise ValueError(
        f"{owners[target]} and {job.source} would both become {job.target}; rename one, or give "
        f"them output folders of their own"
      )
    owners[target] = job.source
