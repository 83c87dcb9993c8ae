"""Processor time of coding a photograph on one thread: the page's JavaScript and ONNX Runtime.

python -m experiments.web.processor --image=FILE --site=SITE

Processor time is what is left to compare where other processes take most of the machine. The
JavaScript runs under Node, with the onnxruntime-web in `.node`.
"""

import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.images import image_files
from experiments.exactness import runtimes
from experiments.web.browser import PACKAGES

_IMAGE = flags.DEFINE_string("image", None, "A photograph.", required=True)
_SITE = flags.DEFINE_string("site", None, "A site of `export --format=web`.", required=True)
_RUNS = flags.DEFINE_integer("runs", 3, "Runs after the first.", lower_bound=1)


def main(argv) -> None:
  """Runs both, and prints a table."""
  usage.refuse_arguments(argv)
  image = image_files.read_image(_IMAGE.value)
  script = pathlib.Path(__file__).with_suffix(".mjs")
  with tempfile.TemporaryDirectory() as folder:
    source = pathlib.Path(folder, "image.rgb")
    source.write_bytes(image.tobytes())
    command = ["node", script, PACKAGES, os.path.abspath(_SITE.value), source, *image.shape[:2]]
    done = subprocess.run([*map(str, command), str(_RUNS.value)], check=True, capture_output=True)
  rows = {f"page: {name}": cells for name, cells in json.loads(done.stdout).items()}
  runtimes.limit_threads(runtimes.ONNX, 1)
  codec = runtimes.load(runtimes.ONNX, "default")
  times = {"encode": [], "decode": []}
  for _ in range(_RUNS.value + 1):
    begin = time.process_time()
    data = codec.compress(image)
    middle = time.process_time()
    codec.decompress(data)
    times["encode"].append(middle - begin)
    times["decode"].append(time.process_time() - middle)
  for name, column in times.items():
    rows[f"ONNX Runtime and NumPy: {name}"] = statistics.median(column[1:]), min(column[1:])
  lines = ([name, *(f"{cell:.2f}" for cell in cells)] for name, cells in rows.items())
  print(markdown.table(["processor time, s", "median", "min"], lines))


if __name__ == "__main__":
  app.run(main)
