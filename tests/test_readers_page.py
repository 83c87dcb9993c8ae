"""The page for readers of the paper: its names exist, and no file is forgotten."""

import importlib
import pathlib
import re

import pytest

_PACKAGE = pathlib.Path(__file__).parent.parent / "bmshj_minnen"
_PAGE = (_PACKAGE / "README.md").read_text()


def _section(title):
  return _PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


_NAMES = re.findall(r"`([a-z_0-9.]+\.[\w.]+)`", _section("The paper's equations and sections"))


def test_the_table_has_names():
  assert len(_NAMES) > 20


@pytest.mark.parametrize("name", dict.fromkeys(_NAMES))
def test_what_computes_an_equation_exists(name):
  parts = name.split(".")
  length = next(
    n
    for n in range(len(parts), 0, -1)
    if (_PACKAGE / "/".join(parts[:n])).with_suffix(".py").exists()
  )
  found = importlib.import_module(".".join(["bmshj_minnen", *parts[:length]]))
  for part in parts[length:]:
    found = getattr(found, part)
  assert callable(found) and found.__doc__


def test_each_file_is_to_be_read_or_may_be_skipped():
  read, skip = _section("The paper's code, the codec's code").split("Everything else")
  linked = [set(re.findall(r"\]\(([^)]+)\)", text)) for text in (read, skip)]
  assert not linked[0] & linked[1]
  assert all((_PACKAGE / target).exists() for target in linked[0] | linked[1])
  programs = {path.name for path in _PACKAGE.glob("*.py") if "\ndef run():" in path.read_text()}
  names = {path.name for path in _PACKAGE.iterdir()} - {"README.md", "__init__.py", "__pycache__"}
  assert names - programs == {target.split("/")[0] for target in linked[0] | linked[1]}


def test_the_number_of_lines_to_read_is_about_that():
  (stated,) = re.findall(r"about ([\d,]+) lines", _PAGE)
  read = _section("The paper's code, the codec's code").split("Everything else")[0]
  targets = set(re.findall(r"\]\(([^)]+)\)", read))
  lines = sum(len((_PACKAGE / target).read_text().splitlines()) for target in targets)
  assert abs(lines / int(stated.replace(",", "")) - 1) < 0.1
