"""The trained models that ship, by name: `joint-mse-1` makes the smallest files.

Names are PRIOR-DISTORTION-NUMBER, with numbers from 1 upwards in order of rate, or
PRIOR-DISTORTION of models for many rates.
"""

import pathlib
import re
from typing import Union

__all__ = ["DEFAULT", "find", "names", "of_quality"]

DEFAULT = "default"

_FOLDER = pathlib.Path(__file__).parents[1] / "pretrained"
_FAMILY = "joint-mse"  # What a quality without a name counts in.


def names() -> list[str]:
  """All names, those of a family in order of rate, and behind them that for many rates."""
  folders = [path.parent.name for path in _FOLDER.glob("*/config.json")]
  return sorted(folders, key=lambda name: (_family(name), name == _family(name), _number(name)))


def of_quality(quality: int) -> str:
  """The name of the model with that number.

  Raises:
    ValueError: there is none.
  """
  name = f"{_FAMILY}-{quality}"
  if name not in names():
    raise ValueError(f"no quality {quality}: choose one of {', '.join(map(str, _qualities()))}")
  return name


def find(model: Union[str, pathlib.Path]) -> pathlib.Path:
  """The directory of a model.

  Args:
    model: a name; `default` or nothing, for one of middle quality; or a directory.

  Raises:
    ValueError: there is neither such a name nor such a directory.
  """
  model = str(model)
  if model in ("", DEFAULT):
    model = of_quality(_qualities()[len(_qualities()) // 2])
  if model in names():
    return _FOLDER / model
  if not pathlib.Path(model).is_dir():
    raise ValueError(f"no model {model}: give a directory, or one of {', '.join(names())}")
  return pathlib.Path(model)


def _qualities():
  return [_number(name) for name in names() if _family(name) == _FAMILY != name]


def _family(name):
  return re.sub(r"-\d+$", "", name)


def _number(name):
  last = name.rpartition("-")[2]
  return int(last) if last.isdecimal() else 0
