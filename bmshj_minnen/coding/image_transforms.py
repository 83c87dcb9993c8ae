"""Image <-> latents: g_a, h_a and g_s as a codec runs them, in graphs and tile by tile."""

from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.layers.pixels import pad_to_latents, to_uint8
from bmshj_minnen.model import Model

__all__ = ["ImageTransforms"]


class ImageTransforms:
  """The transforms of one model, without its gains.

  `analysis`, `hyper_analysis` and `synthesis` take and return arrays, in tiles for which a network
  takes about `memory` bytes. `y_of`, `z_hat_of` and `pixels_of` do the same to tensors, eagerly or
  within a graph, all at once.

  Attributes:
    fields: by "g_a", "h_a" and "g_s", what each needs for a part of its result.
  """

  def __init__(self, model: Model):
    self._model = model
    self.fields = {name: tiling.field(name, getattr(model, name)) for name in ("g_a", "h_a", "g_s")}
    y = tf.TensorSpec([None, None, model.config.latent_channels], tf.float32)
    self._analysis = Graph(self.y_of, tf.TensorSpec([None, None, 3], tf.uint8))
    self._hyper_analysis = Graph(self.z_hat_of, y)
    self._synthesis = Graph(self.pixels_of, y)

  @property
  def variables(self) -> list[tf.Variable]:
    """What the graphs read, for those that are saved."""
    model = self._model
    parts = filter(None, (model.g_a, model.h_a, model.g_s, model.y_density))
    return [variable for part in parts for variable in part.variables]

  def analysis(
    self,
    image: np.ndarray,
    memory: int,
    progress: Optional[Callable[[float], None]] = None,
    refine: Optional[Callable[[np.ndarray, np.ndarray], np.ndarray]] = None,
  ) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32.

    Args:
      image: the pixels.
      memory: see the class.
      progress: called with the fraction that is done.
      refine: makes a better y, of a tile and its y.
    """
    field, function = self.fields["g_a"], self._analysis
    if refine:
      field = tiling.refinement(field)

      def function(tile):
        return refine(tile, self._analysis(tile).numpy())

    size = tuple(map(cfg.latent_size, image.shape[:2]))
    return self._tiled(field, function, image, size, memory, progress)

  def hyper_analysis(self, y: np.ndarray, memory: Optional[int] = None) -> np.ndarray:
    """Y [h, w, M] -> ẑ [h', w', N], float32 integers; without a bound on memory in one piece."""
    if memory is None:
      return self._hyper_analysis(y).numpy()
    size = tuple(map(cfg.hyper_size, y.shape[:2]))
    return self._tiled(self.fields["h_a"], self._hyper_analysis, y, size, memory)

  def synthesis(
    self,
    y_hat: np.ndarray,
    size: tuple[int, int],
    memory: int,
    progress: Optional[Callable[[float], None]] = None,
  ) -> np.ndarray:
    """ŷ [h, w, M] -> pixels [*size, 3] uint8."""
    return self._tiled(self.fields["g_s"], self._synthesis, y_hat, size, memory, progress)

  def _tiled(self, field, function, source, size, memory, progress=None):
    units = tiling.units(field, self._model.config, memory)
    return tiling.run(field, lambda part: np.asarray(function(part)), source, size, units, progress)

  def y_of(self, image: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] uint8 -> y [h, w, M] float32."""
    return self._model.analysis_without_gains(pad_to_latents(image)[None])[0]

  def z_hat_of(self, y: tf.Tensor) -> tf.Tensor:
    """Y [h, w, M] -> ẑ [h', w', N], float32 integers; no channels without side information."""
    if self._model.h_a is None:
      shape = tf.shape(y)
      return tf.zeros([cfg.hyper_size(shape[0]), cfg.hyper_size(shape[1]), 0])
    z = tf.round(self._model.hyper_analysis(y[None])[0])
    z = tf.clip_by_value(z, -range_coder.MAX_VALUE, range_coder.MAX_VALUE)
    return tf.cast(tf.cast(z, tf.int32), tf.float32)  # Through integers: no -0.

  def pixels_of(self, y_hat: tf.Tensor) -> tf.Tensor:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""
    return to_uint8(self._model.synthesis_without_gains(y_hat[None])[0])
