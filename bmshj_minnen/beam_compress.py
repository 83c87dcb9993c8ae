"""Compresses a corpus with Apache Beam.

python -m bmshj_minnen.beam_compress --input='photos/**/*.jpg' --output=small --quality=30
"""

import sys

from absl import logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import corpus_flags, quality_flags, shared_flags
from bmshj_minnen.corpus import pipeline, storage, tasks
from bmshj_minnen.model_files import model_directory

_CORPUS = corpus_flags.CorpusFlags()
_PRECISION = shared_flags.define_precision()
_MODEL = shared_flags.define_model()
_QUALITY = quality_flags.QualityFlags()
_ALPHA = shared_flags.define_alpha()


def main(argv):
  """Flags -> one library call; unknown flags are passed to Beam."""
  logging.set_verbosity(logging.WARNING)
  with startup.one_line_errors(), startup.sigterm_interrupts():
    corpus = pipeline.Corpus(*_CORPUS.corpus)
    model = tasks.model_for_workers(_MODEL.value)
    config = model_directory.load_config(model) if storage.is_local(model) else None
    quality = _QUALITY.arguments(config)
    settings = _ALPHA.value, _CORPUS.memory, _PRECISION.value, quality, _CORPUS.imports
    task = tasks.Compression(model, *settings)
    outcome = pipeline.run(corpus, task, _CORPUS.runner, argv[1:])
    print(outcome.summary("compressed"))
    sys.exit(int(outcome.failures > 0))


def run():
  """The console entry point."""
  startup.run(main, known_only=True)


if __name__ == "__main__":
  run()
