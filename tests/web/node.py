"""Node and the npm packages that tests of the page use."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ROOT / ".node" / "node_modules"
RUNTIME = PACKAGES / "onnxruntime-web" / "dist"
_OLDEST = (20, 12)  # Its streams inflate archives.


def program() -> str:
  """The path of Node; skips the test without one that is new enough."""
  node = shutil.which("node")
  if node is None:
    pytest.skip("needs Node 20: apt-get install nodejs")
  found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
  if tuple(map(int, found.strip().lstrip("v").split(".")[:2])) < _OLDEST:
    pytest.skip(f"needs Node {'.'.join(map(str, _OLDEST))}, not {found.strip()}")
  return node


def package(name: str) -> pathlib.Path:
  """The folder of an npm package; skips the test without it."""
  if not (PACKAGES / name).is_dir():
    pytest.skip(f"needs the npm package {name}, which `make test` installs into .node")
  return PACKAGES / name


def run(*arguments, **options) -> str:
  """Runs Node in the root of the repository, and returns its output.

  Raises:
    AssertionError: it fails.
  """
  command = [program(), *map(str, arguments)]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)
  assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
  return done.stdout
