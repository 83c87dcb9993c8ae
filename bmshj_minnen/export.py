"""Writes SavedModels for TensorFlow Serving and programs without Python, ONNX graphs, or a page.

python -m bmshj_minnen.export --model=DIR --output=served/1
python -m bmshj_minnen.export --model=DIR --format=onnx --output=graphs
python -m bmshj_minnen.export --format=web --output=site
"""

import importlib
import pathlib

from absl import flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import shared_flags, usage
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.serving import saved_models

_MODEL = shared_flags.define_model()
_OUTPUT = shared_flags.define_path(
  "output",
  None,
  "BASE/VERSION, for which BASE/codec/VERSION and BASE/stock/VERSION are written. For ONNX graphs "
  "a new directory, which --model of compress and decompress accepts. For a page a new directory, "
  "for any server of files.",
)
_FORMAT = flags.DEFINE_enum(
  "format",
  "saved_model",
  ["saved_model", "onnx", "web"],
  "SavedModels, ONNX graphs for a codec without TensorFlow, or a page that encodes and decodes in "
  "the browser; graphs and page need pip install 'bmshj_minnen[onnx]'.",
)
_ONNXRUNTIME_WEB = shared_flags.define_path(
  "onnxruntime_web",
  None,
  "For a page the folder `dist` of the npm package onnxruntime-web, which is copied; if it is not "
  "given, the page fetches onnxruntime-web from a public network.",
)
_MAX_PIXELS = flags.DEFINE_integer(
  "max_pixels",
  DEFAULT_MAX_PIXELS,
  "Pixels of the largest image, and largest sum of pixels that the files of a batch may declare.",
  lower_bound=1,
)
_QUALITY = flags.DEFINE_float(
  "quality", None, "Quality if a request gives none, for models for many rates; 50 by default."
)
_WARM_UP = flags.DEFINE_bool("warm_up", True, "Add requests with which a server warms up.")


def _with_onnx(module):
  """A module that needs the packages of an extra."""
  try:
    return importlib.import_module(f"bmshj_minnen.{module}")
  except ModuleNotFoundError as error:
    raise ValueError(f"ONNX graphs need {error.name}: pip install 'bmshj_minnen[onnx]'") from error


def main(argv):
  """Flags -> one library call."""
  usage.refuse_arguments(argv)
  logging.set_verbosity(logging.ERROR)  # TensorFlow logs each argument that it renames.
  with startup.one_line_errors(), startup.sigterm_interrupts():
    if not _OUTPUT.value:
      raise ValueError("give --output, such as --output=served/1")
    output = pathlib.Path(_OUTPUT.value)
    if _FORMAT.value == "onnx":
      print(_with_onnx("serving.onnx_export").export(_MODEL.value, output))
      return
    if _FORMAT.value == "web":
      runtime = pathlib.Path(_ONNXRUNTIME_WEB.value) if _ONNXRUNTIME_WEB.value else None
      print(_with_onnx("web.site").export(_MODEL.value, output, runtime))
      return
    options = (_MAX_PIXELS.value, _WARM_UP.value, _QUALITY.value)
    for path in saved_models.export(_MODEL.value, output, *options):
      print(path)


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
