"""Decompresses a corpus with Apache Beam.

python -m bmshj_minnen.beam_decompress --input=small --output=back
"""

import sys

from absl import logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import corpus_flags, shared_flags
from bmshj_minnen.corpus import pipeline, tasks

_CORPUS = corpus_flags.CorpusFlags()
_PRECISION = shared_flags.define_precision()
_MODEL = shared_flags.define_decoding_model()
_MAX_PIXELS = shared_flags.define_max_pixels()


def main(argv):
  """Flags -> one library call; unknown flags are passed to Beam."""
  logging.set_verbosity(logging.WARNING)
  with startup.one_line_errors(), startup.sigterm_interrupts():
    corpus = pipeline.Corpus(*_CORPUS.corpus)
    model = tasks.model_for_workers(_MODEL.value)
    settings = _MAX_PIXELS.value, _CORPUS.memory, _PRECISION.value, _CORPUS.imports
    task = tasks.Decompression(model, *settings)
    outcome = pipeline.run(corpus, task, _CORPUS.runner, argv[1:])
    print(outcome.summary("decompressed"))
    sys.exit(int(outcome.failures > 0))


def run():
  """The console entry point."""
  startup.run(main, known_only=True)


if __name__ == "__main__":
  run()
