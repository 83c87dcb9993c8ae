"""Modules that register own parts of models, named by `--import`."""

import importlib
import os
import sys
from collections.abc import Iterable

__all__ = ["import_all"]


def import_all(modules: Iterable[str]) -> None:
  """Imports modules by name; the current folder is searched last.

  Raises:
    ValueError: a module cannot be imported.
  """
  modules = list(modules)
  # Console commands, unlike `python -m`, do not search the current folder.
  if modules and not {"", os.getcwd()} & set(sys.path):
    sys.path.append(os.getcwd())
  for module in modules:
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise ValueError(f"{module} cannot be imported: {error}") from error
