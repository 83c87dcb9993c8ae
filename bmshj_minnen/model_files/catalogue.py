"""The shipped trained models, by name, such as `joint-mse`: PRIOR-DISTORTION."""

import functools
import pathlib
from typing import Optional, Union

from bmshj_minnen.format import fingerprints
from bmshj_minnen.model_files import array_files

__all__ = ["DEFAULT", "find", "fingerprint", "name_of", "names"]

DEFAULT = "default"

_FOLDER = pathlib.Path(__file__).parents[1] / "pretrained"
_DEFAULT_NAME = "joint-mse"


def names() -> list[str]:
  """Names of all shipped models, in alphabetical order."""
  return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def find(model: Union[str, pathlib.Path]) -> pathlib.Path:
  """The directory of a model.

  Args:
    model: a name; `default` or an empty string, for the default model, which covers all rates; or a
      directory.

  Raises:
    ValueError: there is neither a shipped model of this name nor such a directory.
  """
  model = str(model)
  if model in ("", DEFAULT):
    model = _DEFAULT_NAME
  if model in names():
    return _FOLDER / model
  if not pathlib.Path(model).is_dir():
    raise ValueError(f"no model {model}: give a directory, or one of {', '.join(names())}")
  return pathlib.Path(model)


@functools.cache
def fingerprint(model: str) -> bytes:
  """The fingerprint (4 bytes) of a shipped model, by its name."""
  return fingerprints.fingerprint(array_files.read(find(model), array_files.CODER))


def name_of(wanted: bytes) -> Optional[str]:
  """The name of the shipped model with this fingerprint (4 bytes), or None."""
  return next((name for name in names() if fingerprint(name) == wanted), None)
