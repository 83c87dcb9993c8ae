"""Finds and checks photographs for training."""

import concurrent.futures
import dataclasses
import importlib.util
import logging
import os
import pathlib
from typing import Optional

from bmshj_minnen.file_tools import errors as reasons
from bmshj_minnen.file_tools import globs
from bmshj_minnen.images import image_files

__all__ = [
  "DataError",
  "PhotographList",
  "bundled_photographs",
  "find_files",
  "find_photographs",
  "held_out_photographs",
]

# Sample photographs inside the wheels of two dependencies (all of at least 256x256, RGB).
_BUNDLED = {
  "skimage": (
    "data/astronaut.png",
    "data/coffee.png",
    "data/motorcycle_left.png",
    "data/rocket.jpg",
  ),
  "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
_LOG = logging.getLogger(__name__)
_HELD_OUT = {"skimage": ("data/chelsea.png",)}


class DataError(ValueError):
  """The training data cannot be used; the message is one line with the reason."""


@dataclasses.dataclass(frozen=True)
class PhotographList:
  """Photographs that can be cropped, and the number of other files.

  Attributes:
    paths: paths of the usable files, sorted.
    skipped: reason -> number of files that are not usable.
  """

  paths: tuple[str, ...]
  skipped: dict[str, int]

  def summary(self) -> str:
    """A line for the log, with the numbers of files."""
    skipped = "".join(f", {count} skipped: {reason}" for reason, count in self.skipped.items())
    count = len(self.paths)
    return f"{count} photograph{'s' if count != 1 else ''}{skipped}"


def bundled_photographs() -> list[str]:
  """Paths of the photographs that come with scikit-image and scikit-learn."""
  return _in_packages(_BUNDLED)


def held_out_photographs() -> list[str]:
  """Paths of bundled photographs that default training never sees."""
  return _in_packages(_HELD_OUT)


def _in_packages(files):
  paths = []
  for package, names in files.items():
    # Importing the packages would take seconds; finding a file does not need it.
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
    paths += [str(folder / name) for name in names]
  return paths


def find_files(patterns: list[str]) -> list[str]:
  """The files that globs or plain paths match, sorted; `**` matches folders.

  Raises:
    DataError: no file matches.
  """
  paths = sorted({p for pattern in patterns for p in globs.expand(os.path.expanduser(pattern))})
  paths = [p for p in paths if os.path.isfile(p)]
  if not paths:
    raise DataError(f"no file matches {', '.join(patterns)}")
  return paths


def find_photographs(patterns: list[str], min_size: int) -> PhotographList:
  """Expands patterns and reads every file once, to check whether it can be cropped.

  A file is usable if `image_files.read_image` reads it and it is neither small nor grey. The log
  names each file that cannot be read, with the reason.

  Args:
    patterns: globs or plain paths; `**` matches folders.
    min_size: minimum of the shorter side in pixels.

  Raises:
    DataError: no file matches, or no matching file is usable.
  """
  paths = find_files(patterns)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    defects = list(pool.map(lambda path: _defect(path, min_size), paths))
  skipped: dict[str, int] = {}
  for reason in filter(None, defects):
    skipped[reason] = skipped.get(reason, 0) + 1
  usable = tuple(p for p, reason in zip(paths, defects) if reason is None)
  if not usable:
    counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    raise DataError(f"none of the {len(paths)} files of {', '.join(patterns)} is usable: {counts}")
  return PhotographList(usable, skipped)


def _defect(path: str, min_size: int) -> Optional[str]:
  """Why a file cannot be cropped; None if it can."""
  try:
    image = image_files.read_image(path, alpha="drop", note=lambda text: None)
  except (ValueError, OSError) as error:
    _LOG.warning("%s is skipped: %s", path, reasons.reason(path, error))
    return "unreadable"
  if min(image.shape[:2]) < min_size:
    return f"smaller than {min_size} pixels"
  red, green, blue = (image[..., i] for i in range(3))
  return "grey" if (red == green).all() and (green == blue).all() else None
