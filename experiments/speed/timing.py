"""Timing on a machine that may be busy, and peers that run under another Python.

Imports the standard library only, so that every peer can use it.
"""

import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Hashable, Sequence
from typing import Any, Callable, NamedTuple

__all__ = [
  "Child",
  "Peer",
  "Sample",
  "busy_seconds",
  "interleave",
  "measure",
  "print_quiet",
  "print_ratios",
  "print_table",
  "processors",
  "serve",
]

# A run is repeated if other processes took more than this share of the machine.
_DISTURBED = 0.1
_ATTEMPTS = 3
_TOLERANCE = 0.02  # Seconds.


class Sample(NamedTuple):
  """One run.

  Attributes:
    seconds: wall time.
    others: the share of the processors that other processes took meanwhile, 0 to 1.
    result: the call's result; None from a `Peer`.
  """

  seconds: float
  others: float
  result: Any = None


def measure(function: Callable[[], Any]) -> Sample:
  """Times a call, repeated if it was disturbed; the least disturbed of at most 3 runs counts."""
  samples = []
  while len(samples) < _ATTEMPTS:
    busy, own, start = busy_seconds(), _own_seconds(), time.perf_counter()
    result = function()
    seconds = time.perf_counter() - start
    own, busy = _own_seconds() - own, busy_seconds() - busy
    # The kernel counts in hundredths of a second; short runs would look disturbed without this.
    others = max(0.0, busy - own - _TOLERANCE) / seconds / os.cpu_count()
    samples.append(Sample(seconds, others, result))
    if others <= _DISTURBED:
      break
  return min(samples, key=lambda sample: sample.others)


def _own_seconds():
  """Processor seconds of this process and of child processes that it waited for."""
  return sum(os.times()[:4])


def busy_seconds():
  """Processor seconds since the machine started that were not idle."""
  with open("/proc/stat") as file:
    ticks = [int(field) for field in file.readline().split()[1:9]]
  return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def interleave(
  tasks: dict[Hashable, Callable[[], Sample]], runs: int
) -> dict[Hashable, list[Sample]]:
  """Runs tasks in turn, so that a slower phase of the machine affects all of them."""
  samples = {name: [] for name in tasks}
  for _ in range(runs):
    for name, task in tasks.items():
      samples[name].append(task())
  return samples


def print_table(rows: dict[str, Sequence[float]]) -> None:
  """Prints seconds of several runs as milliseconds."""
  print(f"\n{'milliseconds':<40}{'median':>10}{'min':>10}{'max':>10}")
  for name, seconds in rows.items():
    figures = (statistics.median(seconds), min(seconds), max(seconds))
    print(f"{name:<40}" + "".join(f"{1000 * figure:10.1f}" for figure in figures))


def print_ratios(samples: dict[str, list[Sample]], pairs: Sequence[tuple[str, str]]) -> None:
  """Prints the first of each pair relative to the second, and the load (`print_quiet`)."""
  medians = {name: statistics.median(s.seconds for s in runs) for name, runs in samples.items()}
  for slow, fast in pairs:
    if slow in medians:
      print(f"{slow} / {fast}: {medians[slow] / medians[fast]:.2f}")
  print_quiet(samples)


def print_quiet(samples: dict[Hashable, list[Sample]]) -> None:
  """Prints the share of the machine that other processes took."""
  others = max(sample.others for runs in samples.values() for sample in runs)
  print(f"Other processes took up to {100 * others:.0f} % of the machine.")


def processors() -> str:
  """Number and name of this machine's processors, and their units for bfloat16."""
  with open("/proc/cpuinfo") as file:
    fields = dict(re.findall(r"^(\S[^\t:]*)\s*: (.*)$", file.read(), re.MULTILINE))
  units = [unit for unit in ("avx512_bf16", "amx_tile") if unit in fields.get("flags", "").split()]
  name = fields.get("model name", platform.machine())
  return f"{os.cpu_count()} x {name}, {' and '.join(units) or 'without bfloat16'}"


class Child:
  """A process that answers each line that it reads with a line of JSON; its first line is unasked.

  Args:
    command: the command.
    folder: its working directory.

  Attributes:
    greeting: the first line.

  Raises:
    ValueError: the process ended.
  """

  def __init__(self, command: Sequence[str], folder: pathlib.Path):
    pipe = subprocess.PIPE
    self._process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True)
    self.greeting = self._read()

  def ask(self, line: str) -> Any:
    """The answer to a line.

    Raises:
      ValueError: the process ended.
    """
    print(line, file=self._process.stdin, flush=True)
    return self._read()

  def processor_seconds(self) -> float:
    """The processor time of the process so far."""
    fields = pathlib.Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

  def close(self) -> None:
    """Ends the process."""
    self._process.stdin.close()
    self._process.wait()

  def _read(self):
    line = self._process.stdout.readline()
    if not line:
      raise ValueError(f"a process ended with status {self._process.wait()}")
    return json.loads(line)


class Peer:
  """`experiments.speed.peers` under another Python; runs tasks on request.

  Args:
    python: the interpreter.
    arguments: arguments of the module.

  Attributes:
    note: the module's description of itself.

  Raises:
    ValueError: the module ended.
  """

  def __init__(self, python: str, *arguments: str):
    command = [python, "-m", "experiments.speed.peers", *arguments]
    self._child = Child(command, pathlib.Path(__file__).parents[2])
    self.note = self._child.greeting

  def __call__(self, task: str) -> Sample:
    """Runs a task once."""
    return Sample(*self._child.ask(task))

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self._child.close()


def serve(tasks: dict[str, Callable[[], Any]], note: str) -> None:
  """The other side of `Peer`: warms up all tasks, then runs the tasks named on stdin."""
  for task in tasks.values():
    task()
  print(json.dumps(note), flush=True)
  for line in sys.stdin:
    sample = measure(tasks[line.strip()])
    print(json.dumps([sample.seconds, sample.others]), flush=True)
