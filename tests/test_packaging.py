"""Contents of a wheel and a source distribution, built offline from the tracked files."""

import ast
import configparser
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen import __main__ as overview
from tests import codecs

_ROOT = pathlib.Path(__file__).parent.parent


def _run(*arguments, cwd):
  finished = subprocess.run(
    [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
  )
  assert finished.returncode == 0, finished.stdout + finished.stderr
  return finished.stdout


@pytest.fixture(scope="module")
def tracked():
  if shutil.which("git") is None or not (_ROOT / ".git").exists():
    pytest.skip("needs a git checkout")
  listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=True)
  names = listed.stdout.decode().split("\0")
  return {name for name in names if name and (_ROOT / name).is_file()}


@pytest.fixture(scope="module")
def tree(tracked, tmp_path_factory):
  """A copy of the tracked files without git, on which packing must not depend."""
  copy = tmp_path_factory.mktemp("packaging") / "tree"
  for name in tracked:
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_ROOT / name, copy / name)
  return copy


@pytest.fixture(scope="module")
def wheel_file(tree):
  options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
  _run("-m", "pip", "wheel", *options, "-w", "wheels", ".", cwd=tree)
  (path,) = (tree / "wheels").glob("*.whl")
  return path


@pytest.fixture(scope="module")
def wheel(wheel_file):
  with zipfile.ZipFile(wheel_file) as archive:
    return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sdist(tree):
  _run("setup.py", "-q", "sdist", "--dist-dir=sdists", cwd=tree)
  (path,) = (tree / "sdists").glob("*.tar.gz")
  with tarfile.open(path) as archive:
    return {member.name.partition("/")[2] for member in archive if member.isfile()}


def _metadata(wheel, name):
  (content,) = (data for path, data in wheel.items() if path.endswith(f".dist-info/{name}"))
  return content.decode()


def test_wheel_holds_the_package_and_nothing_else(wheel, tracked):
  held = {name for name in wheel if ".dist-info/" not in name}
  assert held == {name for name in tracked if name.startswith("bmshj_minnen/")}
  for name in held:
    assert wheel[name] == (_ROOT / name).read_bytes(), name


def test_sdist_holds_every_tracked_file(sdist, tracked):
  assert tracked - sdist <= {".gitignore", "experiments/paper/results/.gitignore"}
  assert {"tests/conftest.py", "tests/golden/joint.tfci", "FORMAT.md", "requirements.lock"} <= sdist


def test_commands_are_the_programs(wheel):
  parser = configparser.ConfigParser(delimiters=["="])
  parser.read_file(io.StringIO(_metadata(wheel, "entry_points.txt")))
  commands = dict(parser["console_scripts"])
  programs = overview.PROGRAMS
  assert set(commands) == {f"bmshj-{name.replace('_', '-')}" for name in programs}
  for command, target in commands.items():
    module, function = target.split(":")
    assert command == "bmshj-" + module.rpartition(".")[2].replace("_", "-")
    # Not by import: several programs define a flag of the same name.
    statements = ast.parse(wheel[module.replace(".", "/") + ".py"]).body
    assert function in {s.name for s in statements if isinstance(s, ast.FunctionDef)}, target


def test_the_wheel_works_outside_the_tree(wheel_file, tmp_path):
  """It is installed into an empty folder, and uses the dependencies of the tests."""
  options = ["--no-deps", "--no-index", "--quiet", f"--target={tmp_path}/site"]
  _run("-m", "pip", "install", *options, str(wheel_file), cwd=tmp_path)
  bmshj_minnen.write_image(str(tmp_path / "in.png"), codecs.photograph(40, 50))
  environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
  for command in ("compress in.png a.tfci", "info --json a.tfci", "decompress a.tfci back.png"):
    name, *arguments = command.split()
    program = [sys.executable, tmp_path / "site" / "bin" / f"bmshj-{name}", *arguments]
    finished = subprocess.run(
      program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    if name == "info":
      assert json.loads(finished.stdout)["model"] == "joint-mse"
  data = (tmp_path / "a.tfci").read_bytes()
  back = bmshj_minnen.read_image(str(tmp_path / "back.png"))
  np.testing.assert_array_equal(back, bmshj_minnen.load_for(data).decompress(data))
  code = "import bmshj_minnen; print(bmshj_minnen.__file__)"
  finished = subprocess.run(
    [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
  )
  assert finished.stdout.startswith(str(tmp_path / "site"))


def test_version_and_description_are_those_of_the_tree(wheel):
  metadata = _metadata(wheel, "METADATA")
  assert f"\nVersion: {bmshj_minnen.__version__}\n" in metadata
  assert (_ROOT / "README.md").read_text("utf-8").strip() in metadata
  assert _run("-m", "bmshj_minnen", "--version", cwd=_ROOT) == f"{bmshj_minnen.__version__}\n"


def test_overview_lists_each_program_in_a_line(capsys):
  assert overview.main([]) == 0
  _, *lines = capsys.readouterr().out.splitlines()
  modules = (_ROOT / "bmshj_minnen").glob("*.py")
  programs = sorted(path.stem for path in modules if "\ndef run():" in path.read_text("utf-8"))
  assert sorted(line.split()[0] for line in lines) == programs
  assert all(len(line.split()) > 1 for line in lines)


def test_overview_refuses_what_it_does_not_know(capsys):
  assert overview.main(["squash"]) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert "squash" in line
