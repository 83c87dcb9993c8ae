"""Two pictures in one place, for pages: markup, style and script, from `page/viewer.*`.

Pages set the size of the pictures and their addresses, as `page/report.js` does.
"""

import pathlib
import re
from collections.abc import Mapping

from bmshj_minnen.evaluation.pictures import BITS_COLOURS, MAX_BITS

__all__ = ["filled", "markup", "script", "style"]

_PARTS = pathlib.Path(__file__).parent / "page"
_TICKS = 7


def filled(template: str, parts: Mapping[str, str]) -> str:
  """A text in which each {{name}} is replaced by the part of this name."""
  return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def markup(choices: str = "", note: str = "") -> str:
  """The elements of the viewer.

  Args:
    choices: HTML of further choices, in front of the viewer's own.
    note: HTML that follows the explanation of the keys.
  """
  ticks = (MAX_BITS * (i / (_TICKS - 1)) ** 2 for i in range(_TICKS))
  parts = {
    "choices": choices,
    "note": note,
    "bits_scale": ", ".join(BITS_COLOURS),
    "bits_ticks": "".join(f"<span>{bits:.0f}</span>" for bits in ticks),
  }
  return filled(_read("viewer.html"), parts)


def style() -> str:
  """The style of the viewer, and of a page around it."""
  return _read("viewer.css")


def script() -> str:
  """The script of the viewer, which defines the class `Viewer`."""
  return _read("viewer.js")


def _read(name):
  return (_PARTS / name).read_text("utf-8")
