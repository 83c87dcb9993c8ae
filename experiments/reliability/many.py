"""Seconds per file: a folder in one process, compared with one process per file.

`python -m experiments.reliability.many --model=DIR`
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files

_MODEL = flags.DEFINE_string("model", "joint-mse", "A model directory.")
_FILES = flags.DEFINE_integer("files", 200, "Crops in the folder.", lower_bound=1)
_SIDE = flags.DEFINE_integer("side", 256, "Side of the crops, pixels.", lower_bound=1)
_PROCESSES = flags.DEFINE_integer("processes", 5, "Files with a process each.", lower_bound=1)
_JOBS = flags.DEFINE_list("jobs", ["1", "2", "4"], "Values of --jobs to time.")


def _make_crops(folder):
  """Writes random crops of the bundled photographs, as PNG."""
  folder.mkdir()
  photographs = [image_files.read_image(path) for path in finding.bundled_photographs()]
  random, side = np.random.default_rng(0), _SIDE.value
  for i in range(_FILES.value):
    photograph = photographs[i % len(photographs)]
    top, left = (random.integers(0, size - side + 1) for size in photograph.shape[:2])
    crop = photograph[top : top + side, left : left + side]
    image_files.write_image(str(folder / f"{i:04}.png"), crop)


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


def main(_):
  """Makes the files, times the programs, prints a table."""
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    _make_crops(folder / "in")
    print("| | seconds a file |\n|---|---:|")
    for name, seconds in _rows(folder):
      print(f"| {name} | {seconds:.3f} |", flush=True)


if __name__ == "__main__":
  app.run(main)
