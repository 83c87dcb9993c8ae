"""Times the command line from a shell, start-up included, and measures its memory.

`python -m experiments.speed.startup --runtimes=tensorflow,onnx --against=DIR` runs all builds and
runtimes in turn, each command in its own process.
"""

import functools
import pathlib
import tempfile

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import catalogue
from experiments.speed import starts, timing
from experiments.speed.photographs import photograph

_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model that ships.")
_IMAGE = flags.DEFINE_string("image", "", "An image; empty: a bundled photograph as 768x512.")
_RUNS = flags.DEFINE_integer("runs", 5, "Runs for each median.", lower_bound=1)
_RUNTIMES = flags.DEFINE_list(
  "runtimes", [], "Values of --runtime, each timed; empty: the default alone."
)
_AGAINST = flags.DEFINE_string("against", "", "A tree with another build, such as an older one.")
_PYTHON = flags.DEFINE_string("python", "", "Another Python to run this build with, too.")


def _builds() -> dict[str, starts.Build]:
  builds = {
    f"--runtime={name}": starts.Build(flags=(f"--runtime={name}",)) for name in _RUNTIMES.value
  }
  builds = builds or {"this build": starts.Build()}
  if _PYTHON.value:
    builds[_PYTHON.value] = starts.Build(python=str(pathlib.Path(_PYTHON.value).absolute()))
  if _AGAINST.value:
    builds[_AGAINST.value] = starts.Build(tree=pathlib.Path(_AGAINST.value))
  return builds


def _sample(tree, python, arguments):
  """The sample of one run; its result is the peak memory in MiB."""
  sample = timing.measure(lambda: starts.measured(python, arguments, tree))
  seconds, mebibytes = sample.result
  return sample._replace(seconds=seconds, result=mebibytes)


def main(argv):
  """Prints a table."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    png = folder / "in.png"
    image_files.write_image(str(png), photograph(_IMAGE.value))
    tasks = {
      key: functools.partial(_sample, *command)
      for key, command in starts.commands(_builds(), _MODEL.value, png, folder).items()
    }
    timing.interleave(tasks, 1)  # Warms the disk's cache, and makes the files.
    samples = timing.interleave(tasks, _RUNS.value)
  print(timing.processors())
  print("\n".join(starts.rows(samples, _AGAINST.value)))
  timing.print_quiet(samples)


if __name__ == "__main__":
  app.run(main)
