"""Tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Optional

__all__ = ["lines", "table"]

_RULES = {"l": "---", "r": "---:"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], columns: Optional[str] = None) -> str:
  """The `lines` of a table, without a line end behind the last one."""
  return "\n".join(lines(head, rows, columns))


def lines(
  head: Sequence[str], rows: Iterable[Sequence[str]], columns: Optional[str] = None
) -> Iterator[str]:
  """The lines of a table, each as soon as its row is there.

  Args:
    head: the heads of the columns.
    rows: the cells of each row; bars are escaped, line ends become blanks.
    columns: a letter for each column: l for text, r for numbers; by default only the first is text.
  """
  columns = columns or "l" + "r" * (len(head) - 1)
  yield _line(head)
  yield "|" + "".join(f"{_RULES[letter]}|" for letter in columns)
  yield from map(_line, rows)


def _line(cells):
  texts = (" ".join(cell.splitlines()).replace("|", "\\|") for cell in cells)
  return "|" + "".join(f" {text} |" if text else " |" for text in texts)
