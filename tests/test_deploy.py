"""Units for systemd and the container file name programs and flags that exist."""

import pathlib
import re
import shutil
import subprocess

import pytest

_ROOT = pathlib.Path(__file__).parent.parent
_DEPLOY = _ROOT / "deploy"


def _commands():
  """Program and flags of each command in the units and in the container file."""
  for path in _DEPLOY.glob("*.service"):
    text = path.read_text().replace("\\\n", " ")
    for command in re.findall(r"^ExecStart=(.*)$", text, re.M):
      program, *words = command.split()
      yield pathlib.Path(program).name.removeprefix("bmshj-"), words
  (words,) = re.findall(r"^CMD \[(.*)\]$", (_DEPLOY / "Containerfile").read_text(), re.M)
  program, *flags = re.findall(r'"([^"]+)"', words)
  yield program, flags


def test_programs_and_flags_exist():
  commands = list(_commands())
  assert {program for program, _ in commands} == {"compress", "verify", "serve"}
  sources = (_ROOT / "bmshj_minnen").rglob("*.py")
  text = "\n".join(path.read_text() for path in sources)
  defined = set(re.findall(r'(?i)define_\w+\(\s*"(\w+)"', text))
  for program, words in commands:
    assert (_ROOT / "bmshj_minnen" / f"{program}.py").exists()
    named = {re.match(r"--(\w+)", word)[1] for word in words if word.startswith("--")}
    assert named and named <= defined, named - defined


def test_the_container_copies_what_there_is():
  for line in re.findall(r"^COPY (?!--from)(.*)$", (_DEPLOY / "Containerfile").read_text(), re.M):
    for name in line.split()[:-1]:
      assert (_ROOT / name).exists(), name


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_accepts_the_units(tmp_path):
  for path in _DEPLOY.glob("bmshj-*"):
    program = "/opt/bmshj_minnen/.venv/bin/bmshj-"
    text = re.sub(re.escape(program) + r"\w+", "/bin/true", path.read_text())
    (tmp_path / path.name).write_text(text)
  units = sorted(map(str, tmp_path.iterdir()))
  result = subprocess.run(
    ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
  )
  lines = [line for line in result.stderr.splitlines() if "bmshj" in line]
  assert not lines and len(units) == 3, result.stderr
