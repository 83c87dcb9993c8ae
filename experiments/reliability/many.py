"""Seconds per file: a folder in one process, compared with one process per file.

`python -m experiments.reliability.many --model=DIR`
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import markdown
from experiments.reliability.small_photographs import make_photographs

_MODEL = flags.DEFINE_string("model", "joint-mse", "A model directory.")
_FILES = flags.DEFINE_integer("files", 200, "Crops in the folder.", lower_bound=1)
_SIDE = flags.DEFINE_integer("side", 256, "Side of the crops, pixels.", lower_bound=1)
_PROCESSES = flags.DEFINE_integer("processes", 5, "Files with a process each.", lower_bound=1)
_JOBS = flags.DEFINE_list("jobs", ["1", "2", "4"], "Values of --jobs to time.")


def _seconds(program, *args):
  start = time.perf_counter()
  command = [sys.executable, "-m", f"bmshj_minnen.{program}", f"--model={_MODEL.value}"]
  command += ["--overwrite", *args]  # Replaces files of the call before.
  subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
  return time.perf_counter() - start


def _rows(folder):
  """Rows for a folder with each number of jobs, and for some files with a process each."""
  for program, source, suffix in (("compress", "in", ".tfci"), ("decompress", "out", ".png")):
    for jobs in _JOBS.value:
      target = folder / ("out" if program == "compress" else "back")
      total = _seconds(program, f"--output_dir={target}", f"--jobs={jobs}", folder / source)
      yield f"{program} a folder, --jobs={jobs}", total / _FILES.value
    singles = sorted((folder / source).iterdir())[: _PROCESSES.value]
    times = [_seconds(program, path, folder / f"single{suffix}") for path in singles]
    yield f"{program} with a process a file, median of {len(times)}", statistics.median(times)


def main(argv):
  """Makes the files, times the programs, prints a table."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    make_photographs(folder / "in", "", _FILES.value, _SIDE.value, _SIDE.value)
    rows = ([name, f"{seconds:.3f}"] for name, seconds in _rows(folder))
    for line in markdown.lines(["", "seconds a file"], rows):
      print(line, flush=True)


if __name__ == "__main__":
  app.run(main)
