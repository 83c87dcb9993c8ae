"""g_a, h_a and g_s in ONNX Runtime."""

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.portable.manifest import Manifest
from bmshj_minnen.portable.sessions import Sessions

__all__ = ["OnnxTransforms"]


class OnnxTransforms:
  """The networks of a model on arrays: a `coding.image_transforms.Transforms`.

  Several threads may call the networks.

  Args:
    manifest: the manifest of the graphs.
    sessions: runs the graphs.

  Attributes:
    fields: the `tiling.TileGeometry` of "g_a", "h_a" and "g_s".
  """

  def __init__(self, manifest: Manifest, sessions: Sessions):
    self.fields = {
      name: manifest.graphs[name].field
      if name in manifest.graphs
      else tiling.geometry_of(name, None)
      for name in ("g_a", "h_a", "g_s")
    }
    self._names = frozenset(manifest.graphs)
    self._sessions = sessions

  def g_a(self, image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32."""
    return self._sessions.run("g_a", {"image": image})[0]

  def h_a(self, y: np.ndarray) -> np.ndarray:
    """Rounded z: y [h, w, M] -> ẑ [h', w', N], float32 integers; N = 0 without any."""
    if "h_a" not in self._names:
      return np.zeros([*map(cfg.hyper_size, y.shape[:2]), 0], np.float32)
    return self._sessions.run("h_a", {"y": y})[0]

  def g_s(self, y_hat: np.ndarray) -> np.ndarray:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""
    return self._sessions.run("g_s", {"y_hat": y_hat})[0]
