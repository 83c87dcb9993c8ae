"""What globs stand for, where links may lead round in circles."""

import glob
import os
from collections.abc import Iterator

__all__ = ["expand"]

_FOLDERS = "**"


def expand(pattern: str) -> list[str]:
  """The paths that a glob stands for, sorted; `**` stands for any folders or none.

  Links to folders are followed. What `**` reaches in several ways, as by a link to a folder above,
  is taken once, by the shortest. Hidden names are left out unless their dots are given.
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
  """The root and all that are not hidden below it, each once, the nearest first."""
  seen, coming = set(), [root]
  for folder in coming:
    place = os.path.realpath(folder or os.curdir)
    if place in seen or not os.path.isdir(place):
      continue
    seen.add(place)
    yield folder
    try:
      names = sorted(os.listdir(place))
    except OSError:  # As for `glob`, what cannot be looked into is empty.
      continue
    coming += [os.path.join(folder, name) for name in names if not name.startswith(".")]
