"""Times coding, warm, in this build and others: `python -m experiments.speed.builds --against=DIR`.

Each build and runtime has its own process, with its own code and graphs; they take turns.
"""

import itertools
import os
import pathlib
import statistics
import sys
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import catalogue
from experiments.speed import timing
from experiments.speed.photographs import photograph

_AGAINST = flags.DEFINE_list("against", [], "Trees of other builds, such as `git archive` makes.")
_RUNTIMES = flags.DEFINE_list(
  "runtimes", ["tensorflow"], "Runtimes of this build: tensorflow, onnx."
)
_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model that ships.")
_IMAGE = flags.DEFINE_string("image", "", "An image; empty: a bundled photograph as 768x512.")
_RUNS = flags.DEFINE_integer("runs", 15, "Runs for each median.", lower_bound=1)

_ROOT = pathlib.Path(__file__).parents[2]
_TASKS = ("encode", "decode")
# Runs in the tree of another build, so it uses only public functions of that build.
_WORKER = """
import json, sys, time
runtime, model, path = sys.argv[1:]
import bmshj_minnen
if runtime == "onnx":
  import bmshj_minnen.portable as codecs
else:
  codecs = bmshj_minnen
codec, x = codecs.load(model), bmshj_minnen.read_image(path)
data = codec.compress(x)
tasks = {"encode": lambda: codec.compress(x), "decode": lambda: codec.decompress(data)}
for task in [*tasks.values()] * 2:
  task()
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
  start = time.perf_counter()
  tasks[line.strip()]()
  print(json.dumps(time.perf_counter() - start), flush=True)
"""


def _samples(workers):
  """{(task, name): seconds of the runs}, and the share of the machine that other work took."""
  seconds = {(task, name): [] for task in _TASKS for name in workers}
  own = sum(worker.processor_seconds() for worker in workers.values())
  busy, start = timing.busy_seconds(), time.perf_counter()
  for _ in range(_RUNS.value):
    for task, name in seconds:
      seconds[task, name].append(workers[name].ask(task))
  own = sum(worker.processor_seconds() for worker in workers.values()) - own
  elapsed = (time.perf_counter() - start) * os.cpu_count()
  return seconds, max(0.0, timing.busy_seconds() - busy - own) / elapsed


def main(argv):
  """Prints a table, and ratios to the first of `--runtimes` in this build."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as folder:
    png = pathlib.Path(folder) / "photo.png"
    image_files.write_image(str(png), photograph(_IMAGE.value))
    builds = {f"this build, {runtime}": (_ROOT, runtime) for runtime in _RUNTIMES.value}
    builds.update({tree: (pathlib.Path(tree), "tensorflow") for tree in _AGAINST.value})
    workers = {
      name: timing.Child([sys.executable, "-c", _WORKER, runtime, _MODEL.value, str(png)], tree)
      for name, (tree, runtime) in builds.items()
    }
    seconds, others = _samples(workers)
    for worker in workers.values():
      worker.close()
    print(timing.processors())
    timing.print_table({f"{task}, {name}": own for (task, name), own in seconds.items()})
    medians = {key: statistics.median(own) for key, own in seconds.items()}
    first, *rest = workers
    for task, name in itertools.product(_TASKS, rest):
      print(f"{task}, {name} / {first}: {medians[task, name] / medians[task, first]:.3f}")
    print(f"Other processes took {100 * others:.0f} % of the machine.")


if __name__ == "__main__":
  app.run(main)
