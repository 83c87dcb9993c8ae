"""Compresses a corpus with Beam on Dask, with one and two worker processes on this machine.

`python -m experiments.reliability.dask_cluster`

Each setup compresses few and more photographs, into separate folders, on the same workers, and the
difference counts: start-up, loading and tracing cancel out.
"""

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from experiments.reliability.small_photographs import make_photographs

_IMAGES = flags.DEFINE_string("images", "", "Photographs to cut; empty: the bundled ones.")
_MODEL = flags.DEFINE_string("model", "default", "A model directory or name.")
_FILES = flags.DEFINE_list("files", ["20", "120"], "Photographs, few and more.")
_WIDTH = flags.DEFINE_integer("width", 384, "Width of the photographs.")
_HEIGHT = flags.DEFINE_integer("height", 256, "Height of the photographs.")
_WORKERS = flags.DEFINE_list("workers", ["1", "2"], "Worker processes.")


def _start(stack, *arguments):
  process = subprocess.Popen(
    [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
  )
  stack.callback(process.wait)
  stack.callback(process.kill)
  return process


def _cluster(stack, folder, workers):
  """Starts a scheduler and workers; returns the scheduler's address."""
  file = folder / f"scheduler{workers}.json"
  common = ("--no-dashboard", f"--scheduler-file={file}")
  _start(stack, "dask", "scheduler", "--host=127.0.0.1", "--port=0", *common)
  while not file.exists():
    time.sleep(0.1)
  for _ in range(workers):
    _start(stack, "dask", "worker", "--host=127.0.0.1", "--nthreads=1", "--no-nanny", *common)
  return json.loads(file.read_text())["address"]


def _seconds(folder, address, workers, files):
  command = [sys.executable, "-m", "bmshj_minnen.beam_compress", f"--model={_MODEL.value}"]
  command += [f"--input={folder / files}", f"--output={folder / f'out-{workers}-{files}'}"]
  command += ["--runner=DaskRunner", f"--dask_client_address={address}"]
  start = time.perf_counter()
  subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
  return time.perf_counter() - start


def main(argv):
  """Prints a line for each number of workers."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    few, more = _FILES.value
    for files in (few, more):
      size = (_WIDTH.value, _HEIGHT.value)
      make_photographs(folder / files, _IMAGES.value, int(files), *size)
    for workers in map(int, _WORKERS.value):
      with contextlib.ExitStack() as stack:
        address = _cluster(stack, folder, workers)
        seconds = [_seconds(folder, address, workers, files) for files in (few, more)]
      rate = (int(more) - int(few)) / (seconds[1] - seconds[0])
      print(f"{workers} workers: {rate:.2f} photographs a second, {seconds} s", flush=True)


if __name__ == "__main__":
  app.run(main)
