"""Codecs of either runtime, on a given number of threads. TensorFlow is imported only when used."""

import hashlib
import os
import pathlib
import subprocess
from typing import Any, Union

import numpy as np

from bmshj_minnen.coding.codec import Codec, Latents

__all__ = [
  "ONNX",
  "RUNTIMES",
  "TENSORFLOW",
  "digest",
  "environment",
  "limit_threads",
  "load",
  "version",
]

TENSORFLOW, ONNX = RUNTIMES = ("tensorflow", "onnx")


def environment(threads: int) -> dict[str, str]:
  """Environment variables that make NumPy multiply matrices on this number of threads."""
  return {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}


def version(python: str) -> str:
  """The version of an interpreter, such as 3.12."""
  code = "import sys; print('%d.%d' % sys.version_info[:2])"
  done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
  return done.stdout.strip()


def limit_threads(runtime: str, threads: int) -> None:
  """Sets the number of threads of a runtime; call it before the first codec is loaded."""
  if runtime == TENSORFLOW:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return
  import onnxruntime

  class Options(onnxruntime.SessionOptions):
    """Defaults of every session."""

    def __init__(self):
      super().__init__()
      self.intra_op_num_threads = threads

  onnxruntime.SessionOptions = Options


def load(runtime: str, model: Union[str, pathlib.Path], **options: Any) -> Codec:
  """Loads a model's codec in one of `RUNTIMES`; for options and errors see `bmshj_minnen.load`."""
  if runtime == TENSORFLOW:
    from bmshj_minnen.model_files import model_directory as module
  else:
    from bmshj_minnen import portable as module
  return module.load(model, **options)


def digest(latents: Latents) -> str:
  """A hash of ŷ and ẑ, bit for bit."""
  whole = hashlib.sha256()
  for array in latents:
    whole.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
  return whole.hexdigest()
