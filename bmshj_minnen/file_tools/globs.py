"""Expands globs, also if links form circles."""

import glob
import os
from collections.abc import Iterator

__all__ = ["expand"]

_FOLDERS = "**"


def expand(pattern: str) -> list[str]:
  """The paths that match a glob, sorted; `**` matches any number of folders.

  Links to folders are followed. A file that `**` reaches by several paths, for example through a
  link to a parent folder, is taken once, by the shortest path. Hidden names are left out unless the
  glob contains their dots.
  """
  parts = pattern.split(os.sep)
  if _FOLDERS not in parts:
    return sorted(glob.glob(pattern))
  at = parts.index(_FOLDERS)
  before, after = os.sep.join(parts[:at]), [part for part in parts[at:] if part != _FOLDERS]
  roots = sorted(glob.glob(before)) if before else [os.sep if at else ""]
  found = [
    path
    for root in roots
    for folder in _folders(root)
    for path in glob.glob(os.path.join(glob.escape(folder), *(after or ["*"])))
  ]
  found.sort(key=lambda path: (path.count(os.sep), path))
  ways = {(os.path.realpath(os.path.dirname(p)), os.path.basename(p)): p for p in reversed(found)}
  return sorted(ways.values())


def _folders(root: str) -> Iterator[str]:
  """The root and all folders below it that are not hidden, each once, the nearest first."""
  seen, coming = set(), [root]
  for folder in coming:
    place = os.path.realpath(folder or os.curdir)
    if place in seen or not os.path.isdir(place):
      continue
    seen.add(place)
    yield folder
    try:
      names = sorted(os.listdir(place))
    except OSError:  # A folder that cannot be read counts as empty, as in `glob`.
      continue
    coming += [os.path.join(folder, name) for name in names if not name.startswith(".")]
