"""Tables and plots: `python -m experiments.paper.run`.

With `--images='kodak/*.png'` it first adds missing measurements of the classical codecs and of the
models given by `--model` to the results. `side_by_side.py` makes pictures.
"""

import pathlib

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import classical, curves, measurements, measuring
from experiments import common
from experiments.paper import plots, tables

_RESULTS = flags.DEFINE_string(
  "results", str(pathlib.Path(__file__).parent / "results"), "Folder of measurements and plots."
)
_IMAGES = flags.DEFINE_string("images", "", "A pattern of the Kodak images; empty: no measuring.")
_MODEL = flags.DEFINE_multi_string("model", [], "Models to measure, as `evaluate` takes them.")
_LABEL = flags.DEFINE_string("label", "", "Label of the models, as `evaluate` takes it.")
_CODECS = flags.DEFINE_list("codecs", list(classical.FORMATS), "Classical codecs to measure.")
_ANCHOR = flags.DEFINE_string("anchor", "jpeg420", "The codec that savings are relative to.")


def main(argv):
  """Flags -> measurements -> tables and plots."""
  usage.refuse_arguments(argv, has_patterns=True)
  logging.set_verbosity(logging.INFO)
  with startup.one_line_errors():
    results = pathlib.Path(_RESULTS.value)
    if _IMAGES.value:
      measuring.evaluate(
        measuring.EvaluationConfig(
          _IMAGES.value, str(results), _MODEL.value, _LABEL.value, _CODECS.value
        )
      )
    rows = measurements.read_rows(results / "images.csv")
    if _ANCHOR.value not in curves.measured(rows, "psnr"):
      raise ValueError(f"{results} has no measurements of {_ANCHOR.value}: give --images")
    text = tables.all_tables(rows, _ANCHOR.value)
    common.write_text(results / "tables.md", text)
    plots.plot_all(rows, _ANCHOR.value, results)
    print(text)


if __name__ == "__main__":
  app.run(main)
