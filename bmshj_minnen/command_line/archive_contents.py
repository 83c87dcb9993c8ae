"""The files of an archive that can be verified, and the photographs that they were made of."""

import dataclasses
import filecmp
import os
from collections.abc import Iterator, Sequence
from typing import Optional

from bmshj_minnen.command_line import archive, manifest, planning
from bmshj_minnen.images import image_files

__all__ = ["SUFFIX", "Contents", "find", "recorded_copies"]

SUFFIX = ".tfci"
_SUFFIXES = frozenset((SUFFIX,))


@dataclasses.dataclass(frozen=True)
class Contents:
  """Files of an archive.

  Attributes:
    files: compressed files, and photographs that `compress --keep_smaller` copied, each once.
    sources: file -> its photograph, for files that have one; None: photographs are not compared.
    records: file -> its row in the manifest, for files that have one.
    gone: files in the manifest whose photographs have been deleted since.
    lost: path -> error message, for files in the manifest that are gone, and for photographs
      without a file.
  """

  files: list[str]
  sources: Optional[dict[str, str]]
  records: dict[str, dict[str, str]]
  gone: list[str]
  lost: dict[str, str]


def find(paths: Sequence[str], recursive: bool, source_root: Optional[str] = None) -> Contents:
  """Finds the files of an archive by their names and by manifests.

  A file belongs to the photograph from which `compress --output_dir` makes a file of its name, with
  or without `--keep_extensions`. Photographs without a file are lost if folders are verified.

  Args:
    paths: files, folders and globs.
    recursive: whether subfolders are searched.
    source_root: folder of the photographs; None: photographs are not compared.

  Raises:
    ValueError: one of `paths` matches no file, or `source_root` contains no photograph.
  """
  if not paths:
    raise ValueError("give files, folders or globs")
  tables = {root: archive.records_of(root) for root in paths}
  records = {
    os.path.normpath(os.path.join(root, place)): row
    for root, rows in tables.items()
    for place, row in (rows or {}).items()
  }
  lost = {path: "is in the manifest, but gone" for path in records if not os.path.isfile(path)}
  lost.update(_damaged_manifests(tables))

  def on_error(error):
    lost[error.filename] = error.strerror

  photographs = {} if source_root is None else _photographs(source_root, on_error)
  compressed = [list(planning.find(path, _SUFFIXES, recursive, None, on_error)) for path in paths]
  sources = dict(_sources(compressed, photographs))
  files: dict[str, None] = {}
  for path, found in zip(paths, compressed):
    taken = set(sources.values())
    others = {place: source for place, source in photographs.items() if source not in taken}
    copies = dict(_copies(path, _recorded(path, tables[path], recursive), others))
    sources.update({copy: source for copy, source in copies.items() if source})
    names = [*(os.path.normpath(name) for name, _ in found), *copies]
    if not names and path not in lost:
      suffixes = _SUFFIXES if os.path.isdir(path) else frozenset()
      raise ValueError(planning.nothing_found(path, suffixes))
    files.update(dict.fromkeys(names))
  if source_root is None:
    return Contents(list(files), None, records, [], lost)
  gone = [
    path
    for path in files
    if path in records and path not in sources and not os.path.exists(records[path]["source"])
  ]
  if any(map(os.path.isdir, paths)):
    expected = {p for place, p in photographs.items() if recursive or not os.path.dirname(place)}
    missing = sorted(expected - set(sources.values()))
    lost.update(dict.fromkeys(missing, "has no compressed file"))
  return Contents(list(files), sources, records, gone, lost)


def _damaged_manifests(tables):
  for root, rows in tables.items():
    path = os.path.join(root, manifest.NAME)
    if rows is None and os.path.isfile(path):
      yield path, "is damaged, or is another program's table: restore it, or move it away"


def recorded_copies(paths: Sequence[str], recursive: bool) -> dict[str, list[str]]:
  """Folder -> photographs in it that its manifest lists as copied by `compress --keep_smaller`.

  Args:
    paths: files, folders and globs.
    recursive: whether subfolders are searched.
  """
  folders = filter(os.path.isdir, paths)
  return {root: _recorded(root, archive.records_of(root), recursive) for root in folders}


def _recorded(root, rows, recursive):
  """The copies that the rows of a folder's manifest list; none without a manifest."""
  return [
    os.path.normpath(os.path.join(root, place))
    for place, row in sorted((rows or {}).items())
    if manifest.is_copy(row)
    and os.path.isfile(os.path.join(root, place))
    and (recursive or not os.path.dirname(place))
  ]


def _photographs(source_root, on_error) -> dict[str, str]:
  """Place below the folder, with and without suffix -> photograph."""
  if not os.path.isdir(source_root):
    raise ValueError(f"--sources={source_root} is not a folder")
  result = {}
  for path, place in planning.find(source_root, image_files.SUFFIXES, True, None, on_error):
    result[os.path.splitext(place)[0]] = result[place] = os.path.normpath(path)
  if not result:
    raise ValueError(f"--sources={source_root} contains no photograph")
  return result


def _sources(compressed, photographs) -> Iterator[tuple[str, str]]:
  for path, place in (pair for found in compressed for pair in found):
    source = photographs.get(os.path.splitext(place)[0])
    if source is not None:
      yield os.path.normpath(path), source


def _copies(root, recorded, photographs) -> Iterator[tuple[str, str]]:
  """Copied photographs in a folder, each with its source, or "" if that is not known.

  Args:
    root: the folder; without a folder there are none.
    recorded: copies that its manifest lists.
    photographs: place -> photograph, for those without a compressed file.
  """
  for path in recorded:
    yield path, photographs.get(os.path.relpath(path, root), "")
  recorded = set(recorded)
  for place, source in photographs.items():
    path = os.path.normpath(os.path.join(root, place))
    # Without a row, another file of this name may be no copy.
    if path not in recorded and os.path.isfile(path) and not os.path.samefile(path, source):
      if filecmp.cmp(path, source, shallow=False):
        yield path, source
