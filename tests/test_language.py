"""Docstrings, comments and flag texts name their subject first."""

import ast
import io
import pathlib
import tokenize

import pytest

_ROOT = pathlib.Path(__file__).parent.parent
_FILES = [
  path
  for folder in ("bmshj_minnen", "experiments", "tests")
  for path in (_ROOT / folder).rglob("*.py")
]
_BAD = ("What ", "Of ", "Those ")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _beginnings(text):
  """(line, text) of each docstring, of its arguments, of comments and of texts of flags."""
  nodes = list(ast.walk(ast.parse(text)))
  for node in nodes:
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node):
      for i, line in enumerate(ast.get_docstring(node, clean=False).splitlines()):
        name, _, rest = line.strip().partition(": ")
        yield (
          node.body[0].lineno + i,
          rest if name.replace(", ", "").isidentifier() else line.strip(),
        )
    if isinstance(node, ast.Call) and "define" in ast.unparse(node.func).lower():
      strings = (a for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
      yield from ((string.lineno, string.value) for string in strings)
  before = -1
  for token in tokenize.generate_tokens(io.StringIO(text).readline):
    if token.type == tokenize.COMMENT:
      if token.start[0] > before + 1:
        yield token.start[0], token.string.lstrip("# ")
      before = token.start[0]


@pytest.mark.parametrize(
  ("text", "line"),
  [
    ('"""What is so."""\n', 1),
    ('def f(x):\n  """Doubles.\n\n  Args:\n    x: Of y.\n  """\n', 5),
    ("x = 1  # Those of y.\n", 1),
    ('flags.DEFINE_string("a", "", "Of a file.")\n', 1),
  ],
)
def test_each_kind_is_found(text, line):
  assert [number for number, found in _beginnings(text) if found.startswith(_BAD)] == [line]


def test_nothing_begins_with_a_fragment():
  bad = [
    f"{path.relative_to(_ROOT)}:{line}: {text[:40]}"
    for path in _FILES
    for line, text in _beginnings(path.read_text("utf-8"))
    if text.startswith(_BAD)
  ]
  assert not bad, "\n".join(bad)
