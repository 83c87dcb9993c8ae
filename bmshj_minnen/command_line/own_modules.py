"""Modules that register own parts of models, named by `--import`."""

import importlib
import os
import sys
import traceback
from collections.abc import Iterable

__all__ = ["import_all"]


def import_all(modules: Iterable[str]) -> None:
  """Imports modules by name; the current folder is searched last.

  Raises:
    ValueError: a module cannot be imported, or raises an error; the message names it.
  """
  modules = list(modules)
  # Console commands, unlike `python -m`, do not search the current folder.
  if modules and not {"", os.getcwd()} & set(sys.path):
    sys.path.append(os.getcwd())
  for module in modules:
    try:
      importlib.import_module(module)
    except Exception as error:  # A module of the user's own may raise anything.
      raise ValueError(f"{module} cannot be imported: {_reason(error)}") from error
    except SystemExit as error:
      raise ValueError(f"{module} cannot be imported: it ends the program") from error


def _reason(error):
  """An error, with the line that raised it unless the import system did."""
  if isinstance(error, SyntaxError) and error.filename:
    return f"{error.msg} ({error.filename}, line {error.lineno})"
  if isinstance(error, ImportError):
    return error
  line = f"{type(error).__name__}: {error}"
  frames = traceback.extract_tb(error.__traceback__)
  own = [
    frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__
  ]
  return f"{line} ({own[-1].filename}, line {own[-1].lineno})" if own else line
