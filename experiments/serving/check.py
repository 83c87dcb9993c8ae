"""Checks the SavedModels against the command line and the Keras model.

python -m experiments.serving.check --model=DIR_OR_NAME
"""

import pathlib
import shutil
import tempfile

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import bmshj_minnen
from bmshj_minnen.command_line import usage
from experiments.serving import comparisons

_MODEL = flags.DEFINE_string("model", "", "A model directory, or the name of one that ships.")
_PHOTOGRAPHS = flags.DEFINE_integer("photographs", 10, "Number of photographs of different sizes.")
_BAD = flags.DEFINE_integer("bad", 1000, "Number of bad strings for `decompress`.")


def main(argv):
  """Runs the checks and prints their results."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as name:
    folder, model = pathlib.Path(name), _MODEL.value
    comparisons.package_program(
      "export", f"--model={model}", f"--output={folder}/served/1", "--nowarm_up"
    )
    codec, stock = (folder / "served" / kind / "1" for kind in ("codec", "stock"))
    comparisons.make_photographs(folder / "photographs", _PHOTOGRAPHS.value)
    print("stock, three photographs: pixels and bits of the Keras model")
    print(comparisons.check_stock(stock, model, folder, 3), end="")
    with comparisons.CodecWorker(codec) as worker:
      count = comparisons.check_codec(worker, model, folder)
      print(
        f"codec, {count} photographs: bytes of the command line, single and batched; both decode"
      )
      text = comparisons.check_refusals(worker, bmshj_minnen.load(model), folder, _BAD.value)
      print(text, end="")
    if shutil.which("g++"):
      print(
        "C++ client: the same bytes and pixels; seconds", comparisons.check_client(codec, folder, 7)
      )


if __name__ == "__main__":
  app.run(main)
