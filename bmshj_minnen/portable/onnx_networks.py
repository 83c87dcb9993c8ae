"""g_cm and g_ep in ONNX Runtime, where they take half of NumPy's time or less."""

import logging
import pathlib
from typing import Any, Optional

import numpy as np

from bmshj_minnen.coding.fixed_point import scaled_weights
from bmshj_minnen.coding.networks import IntegerNetworks, layers_of_a_step
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.portable.manifest import Manifest
from bmshj_minnen.portable.sessions import Sessions

__all__ = ["STEP", "OnnxNetworks"]

STEP = "step"
# Threads of a session wait for each other in loops. With one thread, other programs may keep the
# other processors busy.
_THREADS = 1
# Numbers of positions, and largest inputs, of the comparison with NumPy.
_ROWS, _PEAKS = (1, 5, 16, 33), (30, 300, 3000, 32768)


class OnnxNetworks(IntegerNetworks):
  """`IntegerNetworks` for arrays, with the steps of the autoregressive loop in ONNX Runtime.

  At first ONNX Runtime is compared with NumPy. If a result differs, NumPy computes the steps.

  Args:
    directory: the folder of the graphs.
    manifest: the manifest of the folder.
    frozen: the integer prior.
    dtype: dtype of NumPy's matrix products, see `fixed_point.exact_dtype`.
  """

  def __init__(self, directory: pathlib.Path, manifest: Manifest, frozen: FrozenPrior, dtype: str):
    super().__init__(frozen, dtype)
    self._sessions = None
    if frozen.config.parts.context and STEP in manifest.graphs:
      weights = {name: scaled_weights(layer) for name, layer in layers_of_a_step(frozen).items()}
      sessions = Sessions(directory, manifest, weights, threads=_THREADS)
      if all(self._agree(sessions, *case) for case in zip(_ROWS, _PEAKS)):
        self._sessions = sessions
      else:
        logging.warning("Matrix products of ONNX Runtime are not exact here; NumPy computes them.")

  def _agree(self, sessions, rows, peak):
    """Whether both give the same results for some random inputs."""
    random = np.random.default_rng(rows)
    psi, neighbours = (
      random.integers(-peak, peak, [rows, size]).astype(np.float32) for size in self.input_sizes
    )
    inputs = self.prepare(psi), self.split(neighbours)
    pairs = zip(_run(sessions, *inputs), super().parameters(*inputs))
    return all(np.array_equal(*pair) for pair in pairs)

  def parameters(self, prepared: Any, neighbours: Optional[Any], part: int = 0) -> tuple[Any, ...]:
    """Entropy parameters of a slice at n positions, see `IntegerNetworks.parameters`."""
    if self._sessions is None:
      return super().parameters(prepared, neighbours, part)
    return _run(self._sessions, prepared, neighbours)


def _run(sessions, prepared, neighbours):
  mean, table_index = sessions.run(STEP, {"prepared": prepared, "neighbours": neighbours})
  return mean, table_index
