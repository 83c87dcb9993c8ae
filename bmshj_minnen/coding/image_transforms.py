"""Image <-> latents, tile by tile: g_a, gains, h_a and g_s in any runtime.

TensorFlow is not needed.
"""

import math
from typing import Callable, Optional, Protocol

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.format import orders
from bmshj_minnen.quality import Dial

__all__ = ["ImageTransforms", "Transforms"]


class Transforms(Protocol):
  """The networks of a model in a runtime, without gains and without tiles.

  Attributes:
    fields: "g_a", "h_a" and "g_s" -> the inputs that a part of its result needs.
  """

  fields: dict[str, tiling.TileGeometry]

  def g_a(self, image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32."""

  def h_a(self, y: np.ndarray) -> np.ndarray:
    """Rounded z: y [h, w, M] -> ẑ [h', w', N], float32 integers; N = 0 without any."""

  def g_s(self, y_hat: np.ndarray) -> np.ndarray:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""


class ImageTransforms:
  """The transforms of one model on images of any size.

  In tiles a network takes about `memory` bytes. Gains are separate, because one y serves all
  qualities.

  Args:
    config: config of the model.
    transforms: its networks.
    dial: its gains; None: a model for one rate.
  """

  def __init__(self, config: cfg.ModelConfig, transforms: Transforms, dial: Optional[Dial]):
    self._config, self._transforms, self._dial = config, transforms, dial

  def with_gains(self, y: np.ndarray, quality: Optional[float]) -> np.ndarray:
    """Multiplies the output of g_a by the gains of a quality: [h, w, M] float32.

    Args:
      y: [h, w, M] float32.
      quality: one of `QUALITIES`; None for one rate, without gains.
    """
    return y if self._dial is None else y * self._dial.gain(quality)

  def without_gains(self, y_hat: np.ndarray, quality: Optional[float]) -> np.ndarray:
    """Multiplies ŷ by the inverse gains of a quality, for g_s: [h, w, M] float32.

    Args:
      y_hat: [h, w, M] float32.
      quality: one of `QUALITIES`; None for one rate, without gains.
    """
    return y_hat if self._dial is None else y_hat * self._dial.inverse(quality)

  def analysis(
    self,
    image: np.ndarray,
    memory: int,
    progress: Optional[Callable[[float], None]] = None,
    refine: Optional[Callable[[np.ndarray, np.ndarray], np.ndarray]] = None,
  ) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32, without gains unless `refine` adds them.

    Args:
      image: the pixels.
      memory: bytes that the network may take, roughly.
      progress: if given, called with the fraction that is done.
      refine: a tile and its y -> a better y.
    """
    field, function = self._transforms.fields["g_a"], self._transforms.g_a
    if refine:
      field = tiling.refinement(field, math.lcm(*orders.order_of(self._config.order).period))

      def function(tile):
        return refine(tile, self._transforms.g_a(tile))

    size = tuple(map(cfg.latent_size, image.shape[:2]))
    return self._tiled(field, function, image, size, memory, progress)

  def hyper_analysis(self, y: np.ndarray, memory: int) -> np.ndarray:
    """Rounded z: y [h, w, M] -> ẑ [h', w', N], float32 integers."""
    size = tuple(map(cfg.hyper_size, y.shape[:2]))
    return self._tiled(self._transforms.fields["h_a"], self._transforms.h_a, y, size, memory)

  def synthesis(
    self,
    y_hat: np.ndarray,
    size: tuple[int, int],
    memory: int,
    progress: Optional[Callable[[float], None]] = None,
    box: int = 1,
  ) -> np.ndarray:
    """ŷ [h, w, M] -> pixels [*size, 3] uint8; `memory` and `progress` as in `analysis`.

    With a box, each tile is reduced at once, see `tiling.reduced`: the whole picture is never made.
    """
    field = self._transforms.fields["g_s"]
    return self._tiled(field, self._transforms.g_s, y_hat, size, memory, progress, box)

  def synthesis_of_region(
    self,
    y_hat: np.ndarray,
    region: tiling.Region,
    memory: int,
    progress: Optional[Callable[[float], None]] = None,
  ) -> np.ndarray:
    """ŷ [h, w, M] of a whole image -> the pixels [height, width, 3] uint8 of a region of it.

    g_s runs on the latents that the region depends on alone.
    """
    field = self._transforms.fields["g_s"]
    rows = tiling.seen(region.rows, y_hat.shape[0], field)
    columns = tiling.seen(region.columns, y_hat.shape[1], field)
    part = y_hat[rows, columns]
    size = tuple(side * field.outputs for side in part.shape[:2])
    pixels = self.synthesis(part, size, memory, progress)
    top = region.top - rows.start * field.outputs
    left = region.left - columns.start * field.outputs
    return np.ascontiguousarray(pixels[top : top + region.height, left : left + region.width])

  def _tiled(self, field, function, source, size, memory, progress=None, box=1):
    units = tiling.units(field, self._config, memory)
    return tiling.run(field, function, source, size, units, progress, box)
