"""Image <-> latents: g_a, gains, h_a and g_s as a codec runs them, in graphs and tile by tile."""

from typing import Callable, Optional, Union

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.format.graph_writing import quality_index_graph
from bmshj_minnen.format.tables import MAX_VALUE
from bmshj_minnen.layers.pixels import pad_to_latents, to_uint8
from bmshj_minnen.model import Model
from bmshj_minnen.quality import QUALITIES, Dial

__all__ = ["ImageTransforms"]


class ImageTransforms:
  """The transforms of one model.

  `analysis`, `hyper_analysis` and `synthesis` take and return arrays, in tiles for which a network
  takes about `memory` bytes. Those with `_graph` in their names do the same to tensors, eagerly or
  within a graph, all at once. Gains are apart, because one y serves all qualities.

  Attributes:
    fields: by "g_a", "h_a" and "g_s", what each needs for a part of its result.
  """

  def __init__(self, model: Model):
    self._model = model
    self.fields = {name: tiling.field(name, getattr(model, name)) for name in ("g_a", "h_a", "g_s")}
    self._dial = None
    if model.gains is not None:
      logs = (model.gains.log_gain.numpy(), model.gains.log_inverse.numpy())
      self._dial = Dial(model.config, *logs)
    y = tf.TensorSpec([None, None, model.config.latent_channels], tf.float32)
    self._analysis = Graph(self.analysis_graph, tf.TensorSpec([None, None, 3], tf.uint8))
    self._hyper_analysis = Graph(self.hyper_analysis_graph, y)
    self._synthesis = Graph(self.synthesis_graph, y)

  @property
  def variables(self) -> list[tf.Variable]:
    """What the graphs read, for those that are saved."""
    model = self._model
    parts = filter(None, (model.g_a, model.h_a, model.g_s, model.y_density))
    return [variable for part in parts for variable in part.variables]

  def with_gains(
    self, y: Union[np.ndarray, tf.Tensor], quality: Union[None, float, tf.Tensor]
  ) -> Union[np.ndarray, tf.Tensor]:
    """Multiplies the output of g_a by the gains of a quality.

    Args:
      y: [h, w, M] float32, an array or a tensor.
      quality: one of `QUALITIES`, or a scalar float32 tensor; None for one rate, without gains.
    """
    return y if self._dial is None else y * _row(self._dial.gains, quality)

  def without_gains(
    self, y_hat: Union[np.ndarray, tf.Tensor], quality: Union[None, float, tf.Tensor]
  ) -> Union[np.ndarray, tf.Tensor]:
    """Multiplies ŷ by the inverse gains of a quality, for g_s; arguments as of `with_gains`."""
    return y_hat if self._dial is None else y_hat * _row(self._dial.inverses, quality)

  def analysis(
    self,
    image: np.ndarray,
    memory: int,
    progress: Optional[Callable[[float], None]] = None,
    refine: Optional[Callable[[np.ndarray, np.ndarray], np.ndarray]] = None,
  ) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32, without gains unless `refine` gives it some.

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

  def analysis_graph(self, image: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] uint8 -> y [h, w, M] float32, without gains."""
    return self._model.analysis_without_gains(pad_to_latents(image)[None])[0]

  def hyper_analysis_graph(self, y: tf.Tensor) -> tf.Tensor:
    """Y [h, w, M] -> ẑ [h', w', N], float32 integers; no channels without side information."""
    if self._model.h_a is None:
      shape = tf.shape(y)
      return tf.zeros([cfg.hyper_size(shape[0]), cfg.hyper_size(shape[1]), 0])
    z = tf.round(self._model.hyper_analysis(y[None])[0])
    z = tf.clip_by_value(z, -MAX_VALUE, MAX_VALUE)
    return tf.cast(tf.cast(z, tf.int32), tf.float32)  # Through integers: no -0.

  def synthesis_graph(self, y_hat: tf.Tensor) -> tf.Tensor:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""
    return to_uint8(self._model.synthesis_without_gains(y_hat[None])[0])


def _row(table, quality):
  """The row of a quality in a table of all `QUALITIES`."""
  if tf.is_tensor(quality):
    return tf.gather(table, quality_index_graph(quality))
  return table[QUALITIES.index(quality)]
