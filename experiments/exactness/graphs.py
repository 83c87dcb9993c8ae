"""Writes the ONNX graphs of the models that ship into the tree, without their weights.

python -m experiments.exactness.graphs
"""

from absl import app

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.portable.loading import GRAPHS
from bmshj_minnen.serving import onnx_export


def main(argv):
  """Writes all graphs."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors():
    for name in catalogue.names():
      folder = catalogue.find(name) / GRAPHS
      folder.mkdir(exist_ok=True)
      onnx_export.write_graphs(name, folder, inside=False)
      print(folder)


if __name__ == "__main__":
  app.run(main)
