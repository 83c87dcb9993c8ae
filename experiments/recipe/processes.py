"""One and two processes on two cores: compressing a corpus with Beam, and training.

`python -m experiments.recipe.processes --csv=processes.csv`

Each setup is run with little and with more work, and the difference counts: start-up, loading and
tracing cancel out. Setups are run in turn, and medians of the runs are reported. Columns: `kind`,
`processes`, `cores` that they may use together, `per_s` (photographs or training crops per second),
`speed-up` against one process on one core.
"""

import contextlib
import os
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
from experiments import common
from experiments.reliability import local_cluster as cluster
from experiments.reliability.small_photographs import make_photographs

_KINDS = flags.DEFINE_list("kinds", ["beam", "training"], "Kinds of work to measure.")
_RUNS = flags.DEFINE_integer("runs", 3, "Runs of each setup, for medians.", lower_bound=1)
_IMAGES = flags.DEFINE_string("images", "", "Photographs to cut; empty: the bundled ones.")
_MODEL = flags.DEFINE_string("model", "joint-mse", "Model to compress with: directory or name.")
_FILES = flags.DEFINE_list("files", ["20", "120"], "Photographs, little and more.")
_WIDTH = flags.DEFINE_integer("width", 768, "Width of the photographs.")
_HEIGHT = flags.DEFINE_integer("height", 512, "Height of the photographs.")
_STEPS = flags.DEFINE_list("steps", ["10", "160"], "Training steps, little and more.")
_NUM_FILTERS = flags.DEFINE_integer("num_filters", 64, "N = M of the model that is trained.")
_CROP = flags.DEFINE_integer("crop", 128, "Side of the training crops, pixels.")
_BATCH = flags.DEFINE_integer("batch", 8, "Training crops per step, of all processes together.")
_CSV = flags.DEFINE_string("csv", "", "File for the table, in addition to stdout.")

_SETUPS = [(1, 1), (1, 2), (2, 2)]  # Processes, cores.


def _run(commands, cores_of, environments):
  """Seconds for processes that run side by side, each on its own cores."""
  start = time.perf_counter()
  with contextlib.ExitStack() as stack:
    processes = []
    for command, cores, environment in zip(commands, cores_of, environments):
      process = subprocess.Popen(
        ["taskset", "--cpu-list", ",".join(map(str, cores)), sys.executable, "-m", *command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
      )
      stack.callback(process.kill)
      processes.append(process)
    if any([process.wait() for process in processes]):
      raise RuntimeError(f"{commands[0]} failed")
  return time.perf_counter() - start


def _beam(folder, processes, cores, files):
  """Seconds to compress this number of photographs."""
  with tempfile.TemporaryDirectory() as output:
    command = ["bmshj_minnen.beam_compress", f"--model={_MODEL.value}", f"--output={output}"]
    command += [f"--input={folder / str(files)}", "--direct_running_mode=multi_processing"]
    command += [f"--direct_num_workers={processes}"]
    return _run([command], [range(cores)], [{}])


def _training(folder, processes, cores, steps):
  """Seconds to train for this number of steps."""
  del folder
  with tempfile.TemporaryDirectory() as model_dir:
    command = ["bmshj_minnen.train", f"--model_dir={model_dir}", f"--steps={steps}"]
    command += [f"--num_filters={_NUM_FILTERS.value}", f"--latent_channels={_NUM_FILTERS.value}"]
    command += [f"--crop={_CROP.value}", f"--batch={_BATCH.value}", "--schedule=constant"]
    if processes == 1:
      return _run([command], [range(cores)], [{}])
    command += ["--strategy=multi_worker"]
    environments = cluster.environments(processes)
    return _run([command] * processes, [[i] for i in range(cores)], environments)


def _rates(kind, folder):
  """Setup -> photographs or crops per second."""
  measure, amounts, weight = {
    "beam": (_beam, _FILES.value, 1),
    "training": (_training, _STEPS.value, _BATCH.value),
  }[kind]
  little, more = map(int, amounts)
  rates = {setup: [] for setup in _SETUPS}
  for _ in range(_RUNS.value):
    for setup in _SETUPS:
      seconds = [measure(folder, *setup, amount) for amount in (little, more)]
      rates[setup].append(weight * (more - little) / (seconds[1] - seconds[0]))
      print(f"{kind}, processes and cores {setup}: {seconds} s", file=sys.stderr, flush=True)
  return {setup: statistics.median(values) for setup, values in rates.items()}


def main(argv):
  """Prints a table."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    if "beam" in _KINDS.value:
      for files in _FILES.value:
        size = (_WIDTH.value, _HEIGHT.value)
        make_photographs(folder / files, _IMAGES.value, int(files), *size)
    rows = []
    for kind in _KINDS.value:
      rates = _rates(kind, folder)
      for (processes, cores), rate in rates.items():
        speed_up = rate / rates[_SETUPS[0]]
        row = {"kind": kind, "processes": processes, "cores": cores}
        rows.append({**row, "per_s": f"{rate:.3f}", "speed-up": f"{speed_up:.2f}"})
    print(common.csv_text(rows), end="")
    if _CSV.value:
      common.write_csv(_CSV.value, rows)


if __name__ == "__main__":
  app.run(main)
