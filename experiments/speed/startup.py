"""Times the command line from a shell, start-up included: `python -m experiments.speed.startup`."""

import functools
import pathlib
import subprocess
import sys
import tempfile

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.photographs import images
from experiments.speed import timing
from experiments.speed.photographs import photograph

_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model that ships.")
_IMAGE = flags.DEFINE_string("image", "", "An image; empty: a bundled photograph as 768x512.")
_RUNS = flags.DEFINE_integer("runs", 5, "Runs that medians are taken of.", lower_bound=1)

_IMPORT = "import of TensorFlow and tfc"


def _run(*arguments):
  subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def main(argv):
  """Prints a table."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}")
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as name:
    png, file, back = (pathlib.Path(name) / n for n in ("in.png", "x.tfci", "back.png"))
    images.write_image(str(png), photograph(_IMAGE.value))
    commands = {
      _IMPORT: ("-c", "import tensorflow, tensorflow_compression"),
      "compress": ("-m", "bmshj_minnen.compress", f"--model={_MODEL.value}", png, file),
      "decompress": ("-m", "bmshj_minnen.decompress", "--overwrite", file, back),
      "info": ("-m", "bmshj_minnen.info", file),
    }
    tasks = {
      name: functools.partial(timing.measure, functools.partial(_run, *command))
      for name, command in commands.items()
    }
    timing.interleave(tasks, 1)  # Warms the disk's cache, and makes the file.
    samples = timing.interleave(tasks, _RUNS.value)
    timing.print_table({name: [s.seconds for s in runs] for name, runs in samples.items()})
    timing.print_ratios(samples, [(name, _IMPORT) for name in list(commands)[1:]])


if __name__ == "__main__":
  app.run(main)
