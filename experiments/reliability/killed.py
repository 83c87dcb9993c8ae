"""Kills `compress` and `decompress` with −9 amid a folder, and checks the files that are left.

`python -m experiments.reliability.killed`

Results go beside their sources. After each kill no source may have changed, and each result must
equal the result of a run that was not killed. A second run must make the missing results.
"""

import hashlib
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from experiments.reliability.small_photographs import make_photographs

_TIMES = flags.DEFINE_integer("times", 100, "Kills of each program.", lower_bound=1)
_FILES = flags.DEFINE_integer("files", 12, "Photographs in the folder.", lower_bound=2)
_SIDE = 128  # Side of the photographs, pixels.
_SUFFIXES = {"compress": ".tfci", "decompress": ".tif"}
_MOMENT = 0.06  # Largest delay between a result and the kill, seconds.


def _command(program, folder):
  """The command that compresses photographs, or decompresses files, of a folder into it."""
  source = "*.png" if program == "compress" else "*.tfci"
  words = [sys.executable, "-m", f"bmshj_minnen.{program}", "--skip_existing"]
  words += [f"--output_dir={folder}", str(folder / source)]
  return words if program == "compress" else [*words, "--format=tif"]


def _hashes(folder):
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def _run(command):
  return subprocess.run(command, capture_output=True).returncode


def _kill(command, folder, suffix, results, delay):
  """Kills a run shortly after its first `results` results; returns whether it still ran."""
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  while len(list(folder.glob(f"*{suffix}"))) < results and process.poll() is None:
    time.sleep(0.001)
  time.sleep(delay)
  process.send_signal(signal.SIGKILL)
  return process.wait() == -signal.SIGKILL


def _campaign(program, sources, scratch):
  """Counts of failures and of remaining files."""
  suffix, random = _SUFFIXES[program], np.random.default_rng(1)
  shutil.copytree(sources, whole := scratch / "whole")
  assert _run(_command(program, whole)) == 0
  expected = _hashes(whole)
  counts = dict.fromkeys(
    ("killed", "sources changed", "results damaged", "not done the second time", "left over"), 0
  )
  for i in range(_TIMES.value):
    shutil.copytree(sources, folder := scratch / str(i))
    results = int(random.integers(0, _FILES.value))
    delay = random.uniform(0, _MOMENT if results else 4)  # Includes start-up before the first.
    counts["killed"] += _kill(_command(program, folder), folder, suffix, results, delay)
    for again in (False, True):
      if again and _run(_command(program, folder)):
        counts["not done the second time"] += 1
      found = _hashes(folder)
      for name, value in expected.items():
        is_result = name.endswith(suffix)
        if name not in found:
          counts["not done the second time"] += again
          counts["sources changed"] += not is_result
        elif found[name] != value:
          counts["results damaged" if is_result else "sources changed"] += 1
    counts["left over"] += len(found.keys() - expected.keys())
    shutil.rmtree(folder)
  shutil.rmtree(whole)
  return counts


def main(argv):
  """Prints a line for each program."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    make_photographs(sources := scratch / "sources", "", _FILES.value, _SIDE, _SIDE)
    for program in _SUFFIXES:
      counts = _campaign(program, sources, scratch)
      print(program, ", ".join(f"{key}: {count}" for key, count in counts.items()), flush=True)
      assert _run(_command("compress", sources)) == 0


if __name__ == "__main__":
  app.run(main)
