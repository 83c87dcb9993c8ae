"""g_a, h_a and g_s in ONNX Runtime."""

import os
import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.portable.manifest import Manifest

__all__ = ["CPU", "OnnxTransforms"]

CPU = ("CPUExecutionProvider",)
_ERRORS_ONLY = 3


class OnnxTransforms:
  """The networks of a model on arrays: a `coding.image_transforms.Transforms`.

  The session of a network is made at its first call in each process. Several threads may call the
  networks.

  Args:
    directory: the folder of the graphs.
    manifest: the manifest of the folder.
    weights: the weights that the graphs leave out, by name.
    providers: ONNX Runtime's execution providers in order of preference, names or pairs of a name
      and options.

  Attributes:
    fields: the `tiling.Field` of "g_a", "h_a" and "g_s".
  """

  def __init__(
    self,
    directory: pathlib.Path,
    manifest: Manifest,
    weights: dict[str, np.ndarray],
    providers: Sequence[Any] = CPU,
  ):
    self.fields = {
      name: manifest.graphs[name].field if name in manifest.graphs else tiling.field(name, None)
      for name in ("g_a", "h_a", "g_s")
    }
    self._directory, self._manifest, self._weights = directory, manifest, weights
    self._providers = providers
    self._sessions: dict[tuple[int, str], Any] = {}  # Per process: a fork loses their threads.
    self._making = threading.Lock()

  def g_a(self, image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32."""
    return self._run("g_a", image)

  def h_a(self, y: np.ndarray) -> np.ndarray:
    """Y [h, w, M] -> ẑ [h', w', N], float32 integers; no channels without side information."""
    if "h_a" not in self._manifest.graphs:
      return np.zeros([*map(cfg.hyper_size, y.shape[:2]), 0], np.float32)
    return self._run("h_a", y)

  def g_s(self, y_hat: np.ndarray) -> np.ndarray:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""
    return self._run("g_s", y_hat)

  def _run(self, name, x):
    key = (os.getpid(), name)
    with self._making:
      if key not in self._sessions:
        self._sessions[key] = self._session(name)
    session = self._sessions[key]
    (result,) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})
    return result

  def _session(self, name):
    import onnxruntime  # Imported here, so that programs such as `info` run without it.

    graph = self._manifest.graphs[name]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    arrays = [np.ascontiguousarray(self._weights[key], np.float32) for key in graph.weights]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers(list(graph.weights), values)
    path = str(self._directory / graph.file)
    return onnxruntime.InferenceSession(path, options, providers=list(self._providers))
