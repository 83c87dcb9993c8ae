"""Figures in Prometheus' text format, version 0.0.4."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["CONTENT_TYPE", "Figure", "text_of"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figure(NamedTuple):
  """A figure with its values.

  Attributes:
    name: name of the figure; a counter's ends in `_total`.
    kind: "counter" or "gauge".
    help: one line about it.
    values: label values -> value, for each combination of labels.
    labels: names of the labels.
  """

  name: str
  kind: str
  help: str
  values: dict[tuple[str, ...], float]
  labels: tuple[str, ...] = ()


def text_of(figures: Iterable[Figure]) -> str:
  """The figures as text."""
  lines = []
  for figure in figures:
    lines += [f"# HELP {figure.name} {figure.help}", f"# TYPE {figure.name} {figure.kind}"]
    for values, number in figure.values.items():
      pairs = ",".join(f'{name}="{_quoted(v)}"' for name, v in zip(figure.labels, values))
      lines.append(f"{figure.name}{'{' + pairs + '}' if pairs else ''} {float(number):.17g}")
  return "\n".join(lines) + "\n"


def _quoted(text):
  return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
