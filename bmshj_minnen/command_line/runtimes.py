"""The codecs of the programs: in TensorFlow where it is installed, else in ONNX Runtime."""

from typing import Any

import bmshj_minnen
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.config import CODEC_PRECISIONS

__all__ = ["load", "load_for"]

# Imports TensorFlow, if there is one, now: before `app.run`, see `startup`.
_load, _load_for = bmshj_minnen.load, bmshj_minnen.load_for
_IS_PORTABLE = ".portable." in _load.__module__
# Options that need TensorFlow, and the values that do not.
_NEED_TENSORFLOW = {"precision": (CODEC_PRECISIONS[0], "auto"), "refine": (0,), "lmbda": (None,)}


def load(model: str, **options: Any) -> Codec:
  """The codec of a model.

  Args:
    model: a directory, or the name of a model that ships.
    **options: keyword arguments of `bmshj_minnen.load`.

  Raises:
    ValueError: an option needs TensorFlow, which is not installed; or as `bmshj_minnen.load`.
  """
  return _load(model, **_supported(options))


def load_for(file: bytes, **options: Any) -> Codec:
  """The codec of the shipped model that wrote a file; arguments and errors as for `load`."""
  return _load_for(file, **_supported(options))


def _supported(options):
  if not _IS_PORTABLE:
    return options
  for name, values in _NEED_TENSORFLOW.items():
    if options.get(name, values[0]) not in values:
      raise ValueError(
        f"--{name} needs TensorFlow, which is not installed: it is for Python 3.9 to 3.11 on Linux"
        " with an x86-64 processor"
      )
  return {name: value for name, value in options.items() if name not in _NEED_TENSORFLOW}
