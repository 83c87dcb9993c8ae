"""Encodes or decodes, or both, under the settings of its own process; see `matrix.py`.

Thread counts and rewriters of graphs are flags; oneDNN and instruction sets are environment
variables that TensorFlow reads when it starts.
"""

import pathlib

import tensorflow as tf
from absl import app, flags

from bmshj_minnen.command_line import usage
from experiments.exactness import modes, runtimes

_FOLDER = flags.DEFINE_string(
  "folder", None, "Folder with models/PRIOR and image.png.", required=True
)
_SETTING = flags.DEFINE_string("setting", None, "Name of this setting.", required=True)
_ENCODE = flags.DEFINE_bool("encode", True, "Write the files of this setting.")
_DECODE = flags.DEFINE_bool("decode", False, "Then decode the files of all settings.")
_REWRITER = flags.DEFINE_string("rewriter", "", "One of `matrix.REWRITERS`, or none.")
_THREADS = flags.DEFINE_integer("threads", 0, "Threads of TensorFlow; 0: its default.")


def main(argv):
  """Flags -> encode, decode, or both."""
  usage.refuse_arguments(argv)
  runtimes.limit_threads(runtimes.TENSORFLOW, _THREADS.value)
  if _REWRITER.value == "jit":
    tf.config.optimizer.set_jit(True)
  elif _REWRITER.value.startswith("auto_mixed_precision"):
    tf.config.optimizer.set_experimental_options({_REWRITER.value: True})
  folder = pathlib.Path(_FOLDER.value)
  if _ENCODE.value:
    modes.encode(folder, _SETTING.value)
  return min(modes.decode(folder, _SETTING.value), 1) if _DECODE.value else 0


if __name__ == "__main__":
  app.run(main)
