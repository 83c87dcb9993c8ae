"""Which wheels `pip install .` takes on systems that TensorFlow 2.14 has none for.

python -m experiments.portable.wheels

uv (`pip install uv`) resolves what setup.py asks for, from wheels alone, for each system and each
Python, on any system.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from absl import app

__all__ = ["PYTHONS", "SYSTEMS", "requirements", "resolve"]

# Name -> uv's name, and the oldest macOS whose wheels are taken.
SYSTEMS = {
  "Windows": ("x86_64-pc-windows-msvc", ""),
  "macOS 14, ARM": ("aarch64-apple-darwin", "14.0"),
  "Linux, ARM": ("aarch64-manylinux_2_28", ""),
  "Linux, x86-64": ("x86_64-manylinux_2_28", ""),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_WITH_TENSORFLOW = ("Linux, x86-64", "3.11")
_SHOWN = ("onnxruntime", "numpy", "pillow")
_ROOT = pathlib.Path(__file__).parents[2]


def requirements() -> list[str]:
  """What setup.py asks for, with markers."""
  code = (
    "import setuptools; from distutils.core import run_setup;"
    " print('\\n'.join(run_setup('setup.py', stop_after='init').install_requires))"
  )
  command = [sys.executable, "-c", code]
  result = subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True)
  return result.stdout.splitlines()


def resolve(system: str, python: str) -> dict[str, str]:
  """Package -> version of the wheels for a system and a Python.

  Raises:
    ValueError: there are none for a package, or no registry is reached; and why.
  """
  platform, macos = SYSTEMS[system]
  command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--only-binary=:all:"]
  command += [f"--python-platform={platform}", f"--python-version={python}", "--no-annotate"]
  environment = {**os.environ, **({"MACOSX_DEPLOYMENT_TARGET": macos} if macos else {})}
  result = subprocess.run(
    [*command, "--no-header", "-"],
    input="\n".join(requirements()),
    capture_output=True,
    text=True,
    env=environment,
    check=False,
  )
  if result.returncode:
    raise ValueError(f"{system}, Python {python}: {' '.join(result.stderr.split())}")
  return dict(line.split(" ")[0].split("==") for line in result.stdout.split("\n") if "==" in line)


def _rows() -> Iterator[str]:
  for system in SYSTEMS:
    for python in PYTHONS:
      if (system, python) == _WITH_TENSORFLOW:
        continue  # Everything is installed there, and a dependency has no wheel.
      found = resolve(system, python)
      yield f"| {system} | {python} | {' | '.join(found[name] for name in _SHOWN)} |"


def main(argv):
  """Prints a table."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}")
  print(f"| system | Python | {' | '.join(_SHOWN)} |\n|---|---|{'---|' * len(_SHOWN)}")
  for row in _rows():
    print(row)


if __name__ == "__main__":
  app.run(main)
