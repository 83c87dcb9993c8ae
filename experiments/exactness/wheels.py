"""Lists the wheels that `pip install .` takes on systems without wheels of TensorFlow 2.14.

python -m experiments.exactness.wheels

pip resolves the requirements of setup.py, from wheels alone, for each system and each Python; the
program runs on any system. Nothing is installed.
"""

import functools
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from absl import app
from packaging.requirements import Requirement

from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import markdown

__all__ = ["ROWS", "RegistryError", "requirements", "resolve"]

# Name -> the system's platform and machine in markers, and pip's names of its wheels.
SYSTEMS = {
  "Windows, x86-64": ("win32", "AMD64", ("win_amd64",)),
  "macOS 14, ARM": ("darwin", "arm64", ("macosx_14_0_arm64",)),
  "Linux, ARM": (
    "linux",
    "aarch64",
    ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"),
  ),
  "Linux, x86-64": (
    "linux",
    "x86_64",
    ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64"),
  ),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The pair that is left out has TensorFlow.
ROWS = [
  (system, python)
  for system in SYSTEMS
  for python in PYTHONS
  if (system, python) != ("Linux, x86-64", "3.11")
]
_SHOWN = ("onnxruntime", "numpy", "pillow")
_ROOT = pathlib.Path(__file__).parents[2]


class RegistryError(OSError):
  """The package registry cannot be reached."""


@functools.cache
def _asked() -> list[Requirement]:
  """The requirements of setup.py, with markers."""
  code = (
    "import setuptools; from distutils.core import run_setup;"
    " print('\\n'.join(run_setup('setup.py', stop_after='init').install_requires))"
  )
  command = [sys.executable, "-c", code]
  result = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)
  return [*map(Requirement, result.stdout.splitlines())]


def requirements(system: str, python: str) -> list[str]:
  """The requirements of setup.py for a system and a Python."""
  platform, machine, _ = SYSTEMS[system]
  there = {"sys_platform": platform, "platform_machine": machine, "python_version": python}
  here = [one for one in _asked() if not one.marker or one.marker.evaluate(there)]
  return [f"{one.name}{one.specifier}" for one in here]


def resolve(system: str, python: str) -> dict[str, str]:
  """Package -> version of the wheels for a system and a Python.

  Raises:
    RegistryError: the package registry cannot be reached.
    ValueError: a package has no wheels for them; the message has the reason.
  """
  with tempfile.TemporaryDirectory() as folder:
    report = pathlib.Path(folder, "report.json")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", f"--report={report}", "-q"]
    # Names of wheels contain their Python; pip would also require that they suit its own.
    command += ["--ignore-installed", "--only-binary=:all:", "--ignore-requires-python"]
    command += [f"--target={folder}", f"--python-version={python}", "--retries=1", "--timeout=10"]
    command += [f"--platform={name}" for name in SYSTEMS[system][2]]
    command += requirements(system, python)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
      reason = " ".join(result.stderr.split())
      error = RegistryError if "connection" in reason.lower() else ValueError
      raise error(f"{system}, Python {python}: {reason}")
    installed = json.loads(report.read_text())["install"]
  return {one["metadata"]["name"].lower(): one["metadata"]["version"] for one in installed}


def _rows() -> Iterator[list[str]]:
  for system, python in ROWS:
    found = resolve(system, python)
    yield [system, python, *(found[name] for name in _SHOWN)]


def main(argv):
  """Prints the table."""
  usage.refuse_arguments(argv)
  head = ["system", "Python", *_SHOWN]
  for line in markdown.lines(head, _rows(), "l" * len(head)):
    print(line, flush=True)


if __name__ == "__main__":
  app.run(main)
