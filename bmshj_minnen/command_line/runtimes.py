"""Codecs of the programs, in TensorFlow or ONNX Runtime, whichever finishes first."""

import dataclasses
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable
from typing import Any, Callable

from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.command_line import files, startup
from bmshj_minnen.command_line.planning import Job
from bmshj_minnen.config import CODEC_PRECISIONS
from bmshj_minnen.format import reading
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.portable import loading
from bmshj_minnen.runtime import precisions

__all__ = ["RUNTIMES", "Loader", "choose", "pixels_of_compressed"]

RUNTIMES = ("auto", "tensorflow", "onnx")
# ONNX Runtime starts three seconds of processor time sooner, and takes longer per pixel. Up to this
# many pixels, a run finishes sooner in it: on two processors it compressed one image of 768x512 in
# 0.33 of TensorFlow's time, sixteen in 0.95, and 24 in 1.06 (experiments/speed/README.md).
_FEW_PIXELS = 8_000_000
_MODULES = {
  "tensorflow": "bmshj_minnen.model_files.model_directory",
  "onnx": "bmshj_minnen.portable.loading",
}
_REMEDIES = {
  "tensorflow": "TensorFlow, which is not installed: it is for Python 3.9 to 3.11 on Linux with an"
  " x86-64 processor",
  "onnx": "ONNX Runtime, which is not installed: pip install onnxruntime",
}


@dataclasses.dataclass(frozen=True)
class Loader:
  """Loads codecs in one runtime.

  Attributes:
    runtime: "tensorflow" or "onnx".
    options: keyword arguments of the runtime's `load`.
  """

  runtime: str
  options: dict[str, Any]

  def load(self, model: str) -> Codec:
    """The codec of a model; errors: see `bmshj_minnen.load`."""
    return self._module.load(model, **self.options)

  def load_for(self, file: bytes) -> Codec:
    """The codec of the shipped model that wrote a file; errors: see `bmshj_minnen.load_for`."""
    return self._module.load_for(file, **self.options)

  def codec_of(self, model: str) -> Callable[[bytes], Codec]:
    """A function from a file to its codec: the model's, or if none is named the one that wrote it.

    Errors: see `load` and `load_for`.
    """
    if not model:
      return self.load_for
    codec = self.load(model)
    return lambda file: codec

  @property
  def _module(self):
    return importlib.import_module(_MODULES[self.runtime])


def pixels_of_compressed(path: str) -> int:
  """Number of pixels that a compressed file declares.

  Raises:
    BitstreamError: the file is damaged, or has another format.
    OSError: the file cannot be read.
  """
  header, _ = reading.parse(files.read(path))
  return header.width * header.height


def choose(
  asked: str,
  model: str,
  jobs: Iterable[Job],
  pixels_of: Callable[[str], int],
  reports: bool,
  **options: Any,
) -> Loader:
  """Chooses a runtime, and imports it.

  "auto" takes TensorFlow if an option or the model needs it, if it is imported already, or for
  more than `_FEW_PIXELS`; else ONNX Runtime. If only one is installed, "auto" takes that one.

  Args:
    asked: one of `RUNTIMES`.
    model: a model directory, or the name of a shipped model.
    jobs: jobs of the run.
    pixels_of: path of a source -> its number of pixels.
    reports: whether figures are printed that TensorFlow computes.
    **options: keyword arguments of `bmshj_minnen.load`.

  Raises:
    ValueError: the requested runtime, or one that an option needs, is not installed; ONNX Runtime
      is requested with an option that needs TensorFlow; or the model does not exist.
  """
  needs, directory = _need(options), catalogue.find(model)
  runtime = asked if asked != "auto" else _fitting(directory, needs or reports, jobs, pixels_of)
  if loading.is_export(directory) and (needs or runtime == "tensorflow"):
    flag = needs or "--runtime=tensorflow"
    raise ValueError(f"{flag} needs TensorFlow, which does not read {model}: its graphs are ONNX's")
  if runtime == "onnx" and needs:
    if asked == "onnx":
      raise ValueError(f"{needs} needs TensorFlow: leave out --runtime=onnx")
    raise ValueError(f"{needs} needs {_REMEDIES['tensorflow']}")
  if not _is_installed(runtime):
    raise ValueError(f"--runtime={runtime} needs {_REMEDIES[runtime]}")
  if runtime == "onnx":
    options = {
      name: value for name, value in options.items() if name not in loading.ONLY_TENSORFLOW
    }
  with startup.resting_collector():
    importlib.import_module(_MODULES[runtime])
  return Loader(runtime, options)


def _need(options):
  """The flag that needs TensorFlow, if one does."""
  for name in ("refine", "effort"):
    if options.get(name):
      return f"--{name}"
  precision = options.get("precision", CODEC_PRECISIONS[0])
  if precision == "auto" and not _is_installed("tensorflow"):
    return None  # ONNX Runtime has one precision, which is then the fastest.
  return "--precision" if precisions.resolve(precision) != CODEC_PRECISIONS[0] else None


def _fitting(directory, needs_tensorflow, jobs, pixels_of):
  if not _is_installed("tensorflow") or loading.is_export(directory):
    return "onnx"
  if needs_tensorflow or "tensorflow" in sys.modules or not _is_installed("onnx"):
    return "tensorflow"
  if not loading.has_graphs(directory):
    return "tensorflow"
  return "tensorflow" if _are_many(jobs, pixels_of) else "onnx"


def _is_installed(runtime):
  name = {"onnx": "onnxruntime"}.get(runtime, runtime)
  return importlib.util.find_spec(name) is not None


def _are_many(jobs, pixels_of):
  total = 0
  for job in jobs:
    if os.path.isfile(job.source):  # A pipe could be read only once.
      try:
        total += pixels_of(job.source)
      except Exception:  # Damaged files make Pillow raise nearly anything; the reader reports it.
        continue
      if total > _FEW_PIXELS:
        return True
  return False
