"""Codes a held-out crop now and then in a run: a real file beside the estimates of validations."""

import tensorflow as tf

from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.coding.image_transforms import ImageTransforms
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.coding.tensor_coder import TensorCoder
from bmshj_minnen.coding.tensor_transforms import TensorTransforms, dial_of
from bmshj_minnen.model_files import snapshots
from bmshj_minnen.pixels import to_uint8
from bmshj_minnen.psnr import psnr

__all__ = ["CodedFile"]


class CodedFile(tf.keras.callbacks.Callback):
  """Adds numbers of a file to the logs of each n-th validation, for TensorBoard and metrics.csv.

  `file_bpp` and `file_psnr` come from a file that was written and decoded, with latents that are
  rounded in turn. `file_estimated_bpp` and `file_estimated_psnr` are what a validation says of the
  same crop, with one pass of rounding; early in a training with a context model they differ much.
  A model for many rates codes at its default quality. g_a and g_s have the precision of the
  training.
  """

  def __init__(self, every: int, images: tf.Tensor):
    """Chooses the crop.

    Args:
      every: number of validations from one file to the next; 0: no files.
      images: [B, H, W, 3] in 0..255, typical images, see `freeze`; the first is coded.
    """
    super().__init__()
    self._every, self._images = every, images
    self._transforms = None  # Made once: TensorFlow keeps the graphs of custom gradients forever.

  def on_epoch_end(self, epoch, logs=None):
    if self._every and (epoch + 1) % self._every == 0:
      with self.model.averaged():
        logs.update(self._measure(self.model.model))

  def _measure(self, model):
    image = tf.cast(self._images[0], tf.uint8).numpy()
    codec = self._codec(model)
    data = codec.compress(image)
    x_hat, rate = model.forward_rounded(self._images[:1])
    pixels = image.shape[0] * image.shape[1]
    return {
      "file_bpp": 8 * len(data) / pixels,
      "file_psnr": psnr(image, codec.decompress(data)),
      "file_estimated_bpp": float(rate.y_bits[0] + rate.z_bits[0]) / pixels,
      "file_estimated_psnr": psnr(image, to_uint8(x_hat[0]).numpy()),
    }

  def _codec(self, model):
    if self._transforms is None:
      self._transforms = TensorTransforms(model)
    frozen = snapshots.take(model, self._images).frozen
    transforms = ImageTransforms(model.config, self._transforms, dial_of(model))
    return Codec(frozen, transforms, LatentCoder(frozen, TensorCoder(frozen)))
