"""ŷ and ẑ <-> the payload of a file, for whole images: h_s in tiles, the loop in segments.

The steps themselves are those of a `PriorCoder`, in any runtime.

TensorFlow is not needed.
"""

from typing import Any, Callable, Optional, Protocol

import numpy as np

from bmshj_minnen.coding import fixed_point, passes, tiling
from bmshj_minnen.coding.passes import Schedule
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.receptive_field import ReceptiveField

__all__ = ["Coder", "LatentCoder"]


class Coder(Protocol):
  """A `PriorCoder` that takes arrays and returns arrays, or objects for `numpy.asarray`.

  States and memories are only passed on.
  """

  push_z: Callable[[np.ndarray], Any]
  pop_z: Callable[[bytes, int, int], tuple[Any, Any]]
  psi: Callable[[np.ndarray], Any]
  encode_steps: Callable[..., tuple[Any, Any, Any]]
  decode_steps: Callable[..., tuple[Any, Any, Any]]
  finish_encoder: Callable[[Any], bytes]
  finish_decoder: Callable[[Any], bool]


class LatentCoder:
  """Codes ẑ, then y, in exact arithmetic on the CPU.

  Beside ŷ and psi, which has two bytes per number, some thousand positions are in memory at a time.

  Args:
    frozen: the integer prior.
    coder: its coder in a runtime.
  """

  def __init__(self, frozen: FrozenPrior, coder: Coder):
    self._config, self._coder = frozen.config, coder
    self._schedule = Schedule.of(frozen)
    layers = [ReceptiveField(layer.support, up=layer.up) for layer in frozen.hyper_layers]
    self._h_s_field = tiling.geometry_of("h_s", layers)

  def encode(
    self,
    y: np.ndarray,
    z_hat: np.ndarray,
    memory: int = tiling.DEFAULT_MEMORY,
    progress: Optional[Callable[[float], None]] = None,
  ) -> tuple[bytes, np.ndarray]:
    """Codes y [h, w, M] and ẑ [h', w', N] -> the payload, and ŷ [h, w, M] float32.

    Args:
      y: [h, w, M] float32.
      z_hat: [h', w', N] float32 integers.
      memory: bytes that h_s may take, roughly.
      progress: if given, called with the fraction that is done.
    """
    size, rows = y.shape[:2], y.reshape(-1, y.shape[-1] // self._schedule.slices)
    handle = self._coder.push_z(z_hat)
    psi = self._psi(z_hat, size, memory)
    handle, y_hat = self._code_all(self._coder.encode_steps, handle, size, psi, rows, progress)
    return self._coder.finish_encoder(handle), y_hat

  def decode(
    self,
    payload: bytes,
    height: int,
    width: int,
    memory: int = tiling.DEFAULT_MEMORY,
    progress: Optional[Callable[[float], None]] = None,
  ) -> tuple[np.ndarray, np.ndarray, bool]:
    """Decodes the payload of h x w latents.

    Args:
      payload: any bytes.
      height, width: h and w, the size of y.
      memory: bytes that h_s may take, roughly.
      progress: if given, called with the fraction that is done.

    Returns:
      ŷ [h, w, M] float32, ẑ [h', w', N] float32, and whether the payload ended where its symbols
      did.
    """
    size = (height, width)
    handle, z_hat = self._coder.pop_z(payload, *size)
    z_hat = np.asarray(z_hat)
    psi = self._psi(z_hat, size, memory)
    handle, y_hat = self._code_all(self._coder.decode_steps, handle, size, psi, None, progress)
    return y_hat, z_hat, self._coder.finish_decoder(handle)

  def _psi(self, z_hat, size, memory):
    """Psi, computed in tiles: ẑ [h', w', N] -> [h * w, channels] int16, raster order."""
    units = tiling.units(self._h_s_field, self._config, memory)
    psi = tiling.run(self._h_s_field, lambda z: np.asarray(self._coder.psi(z)), z_hat, size, units)
    return psi.reshape(size[0] * size[1], -1)

  def _code_all(self, code_steps, handle, size, psi, y, progress):
    """Runs the loop segment by segment; psi is in raster order, y in rows, see `passes`."""
    channels, schedule, done = self._config.latent_channels, self._schedule, 0
    memory = schedule.empty_memory(fixed_point.NUM_PARTS, *size, channels)
    y_hat = np.empty([len(psi) * schedule.slices, channels // schedule.slices], np.float32)
    for number, one in enumerate(schedule.passes):
      where = one.positions(*size)
      for segment in passes.segments(one.step_sizes(*size)):
        positions = where[segment.begin : segment.end]
        rows = positions * schedule.slices + one.part
        given = [psi[positions]] if y is None else [psi[positions], y[rows]]
        steps = (segment.first_step, segment.last_step)
        handle, memory, latents = code_steps(number, handle, memory, *steps, *size, *given)
        y_hat[rows] = np.asarray(latents)
        done += len(rows)
        if progress:
          progress(done / len(y_hat))
    return handle, y_hat.reshape(*size, -1)
