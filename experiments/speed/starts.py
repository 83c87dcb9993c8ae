"""Commands started from a shell: their times, their memory, and a table."""

import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from bmshj_minnen.evaluation import markdown
from experiments.speed import timing

__all__ = ["Build", "commands", "measured", "rows"]

_ROOT = pathlib.Path(__file__).parents[2]
_IMPORT = ("import of TensorFlow and tfc", "")
# A process has at least the peak memory of its parent, so a small parent starts it.
_LAUNCHER = """
import os, sys, time
start = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - start, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Build(NamedTuple):
  """A tree, the Python that runs it, and flags of `compress` and `decompress`."""

  tree: pathlib.Path = _ROOT
  python: str = sys.executable
  flags: tuple[str, ...] = ()


def measured(python: str, arguments: list[str], tree: pathlib.Path) -> tuple[float, float]:
  """Runs Python in a directory; returns seconds, and peak resident memory in MiB.

  Raises:
    ValueError: the command failed; the message is the last line of its output.
  """
  command = [sys.executable, "-ISc", _LAUNCHER, python, *arguments]
  done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
  lines = done.stderr.splitlines()
  if done.returncode:
    raise ValueError(f"{' '.join(arguments)} in {tree}: {lines[-2] if len(lines) > 1 else lines}")
  seconds, mebibytes = map(float, lines[-1].split())
  return seconds, mebibytes


def commands(
  builds: dict[str, Build], model: str, png: pathlib.Path, folder: pathlib.Path
) -> dict[tuple[str, str], tuple[pathlib.Path, str, list[str]]]:
  """(Command, build) -> a tree, a Python and its arguments; builds of a command are neighbours."""
  result = {_IMPORT: (_ROOT, sys.executable, ["-c", "import tensorflow, tensorflow_compression"])}
  file = {name: str(folder / f"{number}.tfci") for number, name in enumerate(builds)}
  arguments = {
    "compress": lambda name: [f"--model={model}", str(png), file[name]],
    "decompress": lambda name: ["--overwrite", file[name], f"{file[name]}.png"],
  }
  for command, of_build in arguments.items():
    for name, build in builds.items():
      program = ["-m", f"bmshj_minnen.{command}", *build.flags]
      result[command, name] = build.tree, build.python, [*program, *of_build(name)]
  of_info = {}  # `info` has no --runtime.
  for name, build in builds.items():
    of_info.setdefault(build[:2], name)
  for (tree, python), name in of_info.items():
    result["info", name] = tree, python, ["-m", "bmshj_minnen.info", file[name]]
  return result


def rows(samples: dict[tuple[str, str], list[timing.Sample]], against: str) -> Iterator[str]:
  """A table, with ratios to the same command of the build `against`, if there is one."""
  head = ["", "", "median s", "min", "max", "peak MiB", "time / against", "memory / against"]
  return markdown.lines(head, _cells(samples, against), "llrrrrrr")


def _cells(samples, against):
  middle = {
    key: [statistics.median(values) for values in zip(*((s.seconds, s.result) for s in runs))]
    for key, runs in samples.items()
  }
  for (command, name), runs in samples.items():
    seconds, mebibytes = middle[command, name]
    ends = [f"{end(sample.seconds for sample in runs):.2f}" for end in (min, max)]
    other = middle.get((command, against))
    ratios = [f"{a / b:.2f}" for a, b in zip(middle[command, name], other)] if other else ["", ""]
    yield [command, name, f"{seconds:.2f}", *ends, f"{mebibytes:.0f}", *ratios]
