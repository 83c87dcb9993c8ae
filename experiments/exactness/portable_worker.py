"""Encodes or decodes in ONNX Runtime and NumPy, under the settings of its process; see `matrix.py`.

The number of ONNX Runtime's threads is a flag; the threads and the instruction set of NumPy's
OpenBLAS are environment variables.
"""

import pathlib

from absl import app, flags

import bmshj_minnen
from bmshj_minnen.command_line import usage
from experiments.exactness import files, runtimes

_FOLDER = flags.DEFINE_string(
  "folder", None, "Folder with models/PRIOR and image.png.", required=True
)
_SETTING = flags.DEFINE_string("setting", None, "Name of this setting.", required=True)
_DECODE = flags.DEFINE_bool("decode", False, "Decode the files of all settings.")
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of ONNX Runtime.", lower_bound=1)
_MODE = "arrays"


def main(argv):
  """Flags -> encode or decode."""
  usage.refuse_arguments(argv)
  runtimes.limit_threads(runtimes.ONNX, _THREADS.value)
  folder, setting = pathlib.Path(_FOLDER.value), _SETTING.value
  codecs = {path.name: runtimes.load(runtimes.ONNX, path) for path in files.models(folder)}
  if _DECODE.value:
    failures = files.read(
      folder, setting, lambda model, data, _: {_MODE: codecs[model].latents(data)}
    )
    return min(failures, 1)
  image = bmshj_minnen.read_image(folder / "image.png")
  coded = (
    (name, _MODE, codec.compress_with_latents(image, quality=files.quality(codec)))
    for name, codec in codecs.items()
  )
  files.write(folder, setting, coded)
  return 0


if __name__ == "__main__":
  app.run(main)
