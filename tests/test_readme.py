"""The README's Python example runs unchanged."""

import pathlib
import re

import bmshj_minnen
from tests import codecs

_README = pathlib.Path(__file__).parent.parent / "README.md"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
  # The other one is for test_foreign_networks.py.
  example, *_ = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
  bmshj_minnen.write_image(str(tmp_path / "photo.png"), codecs.photograph(40, 50))
  monkeypatch.chdir(tmp_path)
  names = {}
  exec(example, names)
  assert names["image_back"].shape == (40, 50, 3)
  assert "truncated" in capsys.readouterr().out


def test_links_lead_somewhere():
  for target in re.findall(r"\]\(([^)#:]+)\)", _README.read_text()):
    assert (_README.parent / target).exists(), target


def test_flags_exist():
  # Not by import: several programs define a flag of the same name.
  sources = [path.read_text() for path in (_README.parent / "bmshj_minnen").rglob("*.py")]
  defined = {name for s in sources for name in re.findall(r'(?i)define_\w+\(\s*"(\w+)"', s)}
  named = set(re.findall(r"--([a-z_]+)", _README.read_text()))
  assert named - {"data", "depth", "help", "helpfull", "logdir"} <= defined
