"""Sessions of ONNX Runtime for the graphs of a folder."""

import os
import pathlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bmshj_minnen.portable.manifest import REMEDY, Manifest

__all__ = ["CPU", "Sessions"]

CPU = ("CPUExecutionProvider",)
_ERRORS_ONLY = 3
_LINE = 160  # Characters of an error of ONNX Runtime that are shown.


class Sessions:
  """The graphs of a folder as functions of arrays.

  The session of a graph is made at its first run in each process. Several threads may run graphs.

  Args:
    directory: the folder of the graphs.
    manifest: the manifest of the folder.
    weights: the weights that the graphs leave out, by name.
    providers: ONNX Runtime's execution providers in order of preference, names or pairs of a name
      and options.
    threads: threads of each session; 0: one per processor.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    manifest: Manifest,
    weights: Mapping[str, np.ndarray],
    providers: Sequence[Any] = CPU,
    threads: int = 0,
  ):
    self._directory, self._manifest, self._weights = directory, manifest, weights
    self._providers, self._threads = providers, threads
    self._sessions: dict[tuple[int, str], Any] = {}  # Per process: a fork loses their threads.
    self._making = threading.Lock()

  def run(self, name: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Runs the graph `name`: inputs by name, with or without others -> outputs in their order.

    Raises:
      MemoryError: ONNX Runtime has too little memory.
      ValueError: the graph is damaged, or does not fit the weights; the message names its file.
    """
    key = (os.getpid(), name)
    session = self._sessions.get(key)
    if session is None:
      with self._making:
        session = self._sessions.get(key) or self._session(name)
        self._sessions[key] = session
    graph = self._manifest.graphs[name]
    inputs = {key: np.ascontiguousarray(inputs[key]) for key in graph.inputs}
    try:
      return session.run(list(graph.outputs), inputs)
    except Exception as error:
      raise self._named(graph, error) from error

  def _session(self, name):
    import onnxruntime  # Imported here, so that programs such as `info` run without it.

    graph = self._manifest.graphs[name]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = self._threads
    lacking = [key for key in graph.weights if key not in self._weights]
    if lacking:
      raise ValueError(
        f"{self._directory / graph.file} needs {lacking[0]}, which the weights of the model lack: "
        f"{REMEDY}"
      )
    arrays = [np.ascontiguousarray(self._weights[key], np.float32) for key in graph.weights]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers(list(graph.weights), values)
    path = str(self._directory / graph.file)
    try:
      return onnxruntime.InferenceSession(path, options, providers=list(self._providers))
    except Exception as error:
      raise self._named(graph, error) from error

  def _named(self, graph, error):
    """An error of ONNX Runtime in one line, with the file of the graph."""
    if type(error).__module__.partition(".")[0] != "onnxruntime":
      return error  # Such as an unknown provider.
    if "allocate memory" in str(error) or "bad_alloc" in str(error):
      return MemoryError(f"{graph.file} needs more memory than there is")
    line = " ".join(str(error).split())[:_LINE]
    path = self._directory / graph.file
    return ValueError(f"{path} is damaged, or of another model: {REMEDY} ({line})")
