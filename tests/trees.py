"""Small files in folders, for tests of the selection of files."""

import pathlib

__all__ = ["make"]


def make(folder: pathlib.Path, names: list[str]) -> None:
  """Makes files below a folder, and their parent folders; each file contains its name."""
  for name in names:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
