"""The codec as functions of tensors, and a codec of arrays that runs in TensorFlow."""

from typing import Any, Callable, Optional, Union

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.coding.image_transforms import ImageTransforms
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.coding.tensor_coder import TensorCoder
from bmshj_minnen.coding.tensor_transforms import TensorTransforms
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model import Model

__all__ = ["GraphCodec", "tensorflow_codec"]


class GraphCodec:
  """The parts of a codec; all take and return tensors, eagerly or within a graph, without tiles.

  Args:
    codec: the codec that has these parts; its quality is the default.
    transforms: the transforms of the model.
    coder: the coder of its prior.
  """

  def __init__(self, codec: Codec, transforms: TensorTransforms, coder: TensorCoder):
    self._codec, self._transforms, self._coder = codec, transforms, coder

  @property
  def variables(self) -> list[tf.Variable]:
    """The variables that the graphs read; needed to save the graphs."""
    return self._transforms.variables

  def analyze(
    self, image: tf.Tensor, quality: Union[None, float, tf.Tensor] = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """[H, W, 3] uint8 -> y with gains [h, w, M] and ẑ [h', w', N], float32.

    Args:
      image: the pixels.
      quality: one of `QUALITIES`, a number or a scalar float32; None: the quality of the codec.
    """
    quality = self._codec.quality if quality is None else quality
    y = self._transforms.with_gains_graph(self._transforms.g_a_graph(image), quality)
    return y, self._transforms.h_a_graph(y)

  def encode(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Codes y [h, w, M] and ẑ [h', w', N] -> the payload, a string, and ŷ [h, w, M] float32."""
    return self._coder.encode_graph(y, z_hat)

  def decode(
    self, payload: tf.Tensor, image_height: tf.Tensor, image_width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes the payload of an image.

    Args:
      payload: scalar string.
      image_height, image_width: scalar int32, pixels.

    Returns:
      ŷ [h, w, M] float32, ẑ [h', w', N] float32, and whether the payload ended where its symbols
      did, scalar bool.
    """
    return self._coder.decode_graph(payload, *map(cfg.latent_size, (image_height, image_width)))

  def synthesize(
    self,
    y_hat: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    quality: Union[None, float, tf.Tensor] = None,
  ) -> tf.Tensor:
    """ŷ [h, w, M] -> [H, W, 3] uint8.

    Args:
      y_hat: [h, w, M] float32.
      height, width: H and W, scalar int32, pixels.
      quality: one of `QUALITIES`, a number or a scalar float32; None: the quality of the codec.
    """
    quality = self._codec.quality if quality is None else quality
    y_hat = self._transforms.without_gains_graph(y_hat, quality)
    return self._transforms.g_s_graph(y_hat)[:height, :width]


def tensorflow_codec(
  frozen: FrozenPrior,
  model: Model,
  refine: Optional[Callable[..., np.ndarray]] = None,
  **options: Any,
) -> Codec:
  """A codec that runs in TensorFlow.

  Args:
    frozen: the integer prior.
    model: computes g_a, g_s and h_a, such as the model from `model_directory.model_for_coding`.
    refine: image, y, λ and a function to call before each step -> a better y, see `Codec`.
    **options: `max_pixels`, `memory` and `quality` of `Codec`.
  """
  transforms, coder = TensorTransforms(model), TensorCoder(frozen)
  image_transforms = ImageTransforms(frozen.config, transforms, transforms.dial)
  codec = Codec(frozen, image_transforms, LatentCoder(frozen, coder), refine=refine, **options)
  codec.graphs = GraphCodec(codec, transforms, coder)
  return codec
