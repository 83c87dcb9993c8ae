"""g_a, gains, h_a and g_s in TensorFlow, as functions of tensors and of arrays."""

import logging
from typing import Optional, Union

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.format.graph_writing import quality_index_graph
from bmshj_minnen.format.tables import MAX_VALUE
from bmshj_minnen.layers.receptive_field import UnknownLayerError, receptive_fields
from bmshj_minnen.model import Model
from bmshj_minnen.pixels import pad_to_latents, to_uint8
from bmshj_minnen.quality import Dial
from bmshj_minnen.runtime.graph import Graph

__all__ = ["TensorTransforms", "dial_of", "field_of_network"]


def dial_of(model: Model) -> Optional[Dial]:
  """The present gains of a model; None for a model for one rate."""
  if model.gains is None:
    return None
  return Dial(model.config, model.gains.log_gain.numpy(), model.gains.log_inverse.numpy())


class TensorTransforms:
  """The transforms of one model: an `image_transforms.Transforms` in TensorFlow.

  Methods with `_graph` in their names do the same to tensors, eagerly or within a graph.

  Attributes:
    fields: "g_a", "h_a" and "g_s" -> the inputs that a part of its result needs.
    dial: the gains; None for a model for one rate.
  """

  def __init__(self, model: Model):
    self._model = model
    names = ("g_a", "h_a", "g_s")
    self.fields = {name: field_of_network(name, getattr(model, name)) for name in names}
    self.dial = dial_of(model)
    y = tf.TensorSpec([None, None, model.config.latent_channels], tf.float32)
    self._g_a = Graph(self.g_a_graph, tf.TensorSpec([None, None, 3], tf.uint8))
    self._h_a = Graph(self.h_a_graph, y)
    self._g_s = Graph(self.g_s_graph, y)

  @property
  def variables(self) -> list[tf.Variable]:
    """The variables that the graphs read; needed to save the graphs."""
    model = self._model
    parts = filter(None, (model.g_a, model.h_a, model.g_s, model.y_density))
    return [variable for part in parts for variable in part.variables]

  def g_a(self, image: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 -> y [h, w, M] float32."""
    return self._g_a(image).numpy()

  def h_a(self, y: np.ndarray) -> np.ndarray:
    """Rounded z: y [h, w, M] -> ẑ [h', w', N], float32 integers; N = 0 without any."""
    return self._h_a(y).numpy()

  def g_s(self, y_hat: np.ndarray) -> np.ndarray:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""
    return self._g_s(y_hat).numpy()

  def with_gains_graph(self, y: tf.Tensor, quality: Union[None, float, tf.Tensor]) -> tf.Tensor:
    """Multiplies the output of g_a by the gains of a quality: [h, w, M] float32.

    Args:
      y: [h, w, M] float32.
      quality: one of `QUALITIES`, a number or a scalar float32; None for one rate, without gains.
    """
    return y if self.dial is None else y * _row(self.dial.gains, quality)

  def without_gains_graph(
    self, y_hat: tf.Tensor, quality: Union[None, float, tf.Tensor]
  ) -> tf.Tensor:
    """Multiplies ŷ by the inverse gains of a quality, for g_s: [h, w, M] float32.

    Args:
      y_hat: [h, w, M] float32.
      quality: one of `QUALITIES`, a number or a scalar float32; None for one rate, without gains.
    """
    return y_hat if self.dial is None else y_hat * _row(self.dial.inverses, quality)

  def g_a_graph(self, image: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] uint8 -> y [h, w, M] float32."""
    return self._model.analysis_without_gains(pad_to_latents(image)[None])[0]

  def h_a_graph(self, y: tf.Tensor) -> tf.Tensor:
    """Rounded z: y [h, w, M] -> ẑ [h', w', N], float32 integers; N = 0 without any."""
    if self._model.h_a is None:
      shape = tf.shape(y)
      return tf.zeros([cfg.hyper_size(shape[0]), cfg.hyper_size(shape[1]), 0])
    z = tf.round(self._model.hyper_analysis(y[None])[0])
    z = tf.clip_by_value(z, -MAX_VALUE, MAX_VALUE)
    return tf.cast(tf.cast(z, tf.int32), tf.float32)  # Through integers: no -0.

  def g_s_graph(self, y_hat: tf.Tensor) -> tf.Tensor:
    """ŷ [h, w, M] -> pixels [16 h, 16 w, 3] uint8."""
    return to_uint8(self._model.synthesis_without_gains(y_hat[None])[0])


def _row(table, quality):
  """The row of a quality in a table of all `QUALITIES`."""
  return tf.gather(table, quality_index_graph(quality))


def field_of_network(name: str, network: Optional[tf.keras.layers.Layer]) -> tiling.TileGeometry:
  """The inputs that a part of a network's result needs, from its layers.

  If the receptive field of a layer is unknown, the network is not divided, and a warning is logged.

  Args:
    name: "g_a", "h_a" or "g_s".
    network: its layers; None for priors without it.

  Raises:
    ValueError: the strides of the layers have a wrong product.
  """
  layers = None
  if network is not None:
    try:
      # Latents may have any size.
      layers = receptive_fields(network, whole_strides=name != "h_a")
    except UnknownLayerError as error:
      logging.warning(
        "%s is not divided into tiles, so that large images take much memory: %s.", name, error
      )
  return tiling.geometry_of(name, layers)
