"""The codec as functions of tensors, and as TensorFlow runs it on arrays."""

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
    codec: whose parts these are, and whose quality is the default.
    transforms: of the model.
    coder: of its prior.
  """

  def __init__(self, codec: Codec, transforms: TensorTransforms, coder: TensorCoder):
    self._codec, self._transforms, self._coder = codec, transforms, coder

  @property
  def variables(self) -> list[tf.Variable]:
    """What the graphs read, for graphs that are saved."""
    return self._transforms.variables

  def analyze(
    self, image: tf.Tensor, quality: Union[None, float, tf.Tensor] = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """[H, W, 3] uint8 -> y with gains [h, w, M] and ẑ [h', w', N], float32.

    Args:
      image: the pixels.
      quality: one of `QUALITIES`, a number or a scalar float32; None: the default one.
    """
    quality = self._codec.quality if quality is None else quality
    y = self._transforms.with_gains_graph(self._transforms.g_a_graph(image), quality)
    return y, self._transforms.h_a_graph(y)

  def encode(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Y and ẑ -> the payload, a scalar string, and ŷ [h, w, M] float32."""
    return self._coder.encode_graph(y, z_hat)

  def decode(
    self, payload: tf.Tensor, image_height: tf.Tensor, image_width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The payload of an H x W image -> ŷ [h, w, M], ẑ [h', w', N], and whether it ended well."""
    return self._coder.decode_graph(payload, *map(cfg.latent_size, (image_height, image_width)))

  def synthesize(
    self,
    y_hat: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    quality: Union[None, float, tf.Tensor] = None,
  ) -> tf.Tensor:
    """ŷ [h, w, M] -> [H, W, 3] uint8; the quality as of `analyze`."""
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
    model: computes g_a, g_s and h_a, such as that of `model_directory.model_for_coding`.
    refine: as of `Codec`.
    **options: `max_pixels`, `memory` and `quality` of `Codec`.
  """
  transforms, coder = TensorTransforms(model), TensorCoder(frozen)
  image_transforms = ImageTransforms(frozen.config, transforms, transforms.dial)
  codec = Codec(frozen, image_transforms, LatentCoder(frozen, coder), refine=refine, **options)
  codec.graphs = GraphCodec(codec, transforms, coder)
  return codec
