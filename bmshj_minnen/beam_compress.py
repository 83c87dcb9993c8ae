"""Compresses a corpus with Apache Beam.

python -m bmshj_minnen.beam_compress --input='photos/**/*.jpg' --output=small --model=joint-mse-1
"""

import functools
import sys

from absl import app, flags, logging

from bmshj_minnen import binaries  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import catalogue, images
from bmshj_minnen.corpus import pipeline, tasks

_INPUT = flags.DEFINE_multi_string(
  "input",
  None,
  "A file, a folder or a glob, such as gs://bucket/**; may be repeated.",
  required=True,
)
_OUTPUT = flags.DEFINE_string("output", None, "The folder for results.", required=True)
_MODEL = flags.DEFINE_string(
  "model", catalogue.DEFAULT, "A model directory, or the name of one that ships."
)
_RUNNER = flags.DEFINE_string("runner", "DirectRunner", "Beam's engine.")
_ALPHA = flags.DEFINE_enum(
  "alpha", None, images.ALPHA, "Lays transparency on a colour, or drops it; else it is refused."
)
_MEMORY = flags.DEFINE_float(
  "memory", 1.0, "GiB that the networks take for a file; images come on top.", lower_bound=0.0
)


def main(argv):
  """Flags -> one library call; flags that are not known here are Beam's."""
  logging.set_verbosity(logging.WARNING)
  with binaries.one_line_errors():
    corpus = pipeline.Corpus(tuple(_INPUT.value), _OUTPUT.value)
    task = tasks.Compression(_MODEL.value, _ALPHA.value, int(_MEMORY.value * 2**30))
    task.load()  # Tells of a wrong model before workers start.
    outcome = pipeline.run(corpus, task, _RUNNER.value, argv[1:])
    print(outcome.summary("compressed"))
    sys.exit(int(outcome.failures > 0))


def run():
  """The console entry point."""
  app.run(main, flags_parser=functools.partial(flags.FLAGS, known_only=True))


if __name__ == "__main__":
  run()
