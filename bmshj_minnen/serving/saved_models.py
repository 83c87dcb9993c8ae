"""Writes the SavedModels of a model."""

import pathlib
import secrets
import shutil
from typing import Optional, Union

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.serving import warm_up
from bmshj_minnen.serving.codec_module import CodecModule
from bmshj_minnen.serving.stock_module import StockModule

__all__ = ["export"]

_WARM_UP_SIDE = 256  # Pixels; graphs are the same for all sizes.


def export(
  model: str,
  output: pathlib.Path,
  max_pixels: int,
  with_warm_up: bool,
  quality: Optional[float] = None,
) -> list[pathlib.Path]:
  """Writes BASE/codec/VERSION and BASE/stock/VERSION, each completely or not at all.

  Args:
    model: a model directory, or the name of a shipped model.
    output: BASE/VERSION; TensorFlow Serving needs a positive integer as the version.
    max_pixels: maximum number of pixels per image, and of the files in a batch together.
    with_warm_up: whether to add requests with which TensorFlow Serving warms up.
    quality: default quality of a model for many rates; None: `quality.DEFAULT_QUALITY`.

  Returns:
    The two directories.

  Raises:
    ValueError: the model, the quality or the version is not valid; the version exists; or warm-up
      requests cannot be made.
  """
  version = output.name
  if not version.isdecimal() or int(version) < 1:
    raise ValueError(f"{output} must end in a version, which is a number from 1: {output}/1")
  targets = [output.parent / kind / version for kind in ("codec", "stock")]
  for target in targets:
    if target.exists():
      raise ValueError(f"{target} exists, and may be in use; take another version")
  codec = model_directory.load(model, max_pixels, quality=quality)
  modules = [CodecModule(codec), StockModule(model_directory.load_model(model), quality)]
  requests = _requests(codec) if with_warm_up else [None, None]
  for target, module, request in zip(targets, modules, requests):
    _write(target, module, request)
  return targets


def _write(target, module: Union[CodecModule, StockModule], requests):
  # TensorFlow Serving loads a directory whose name is a number as soon as it exists.
  temporary = target.with_name(f".{secrets.randbits(48)}.tmp")
  try:
    tf.saved_model.save(module, str(temporary), signatures=module.signatures())
    if requests:
      warm_up.write(temporary, requests)
    temporary.rename(target)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _requests(codec: Codec):
  """Requests for each module: signature -> input -> batch of one."""
  image = image_files.read_image(finding.bundled_photographs()[0])[:_WARM_UP_SIDE, :_WARM_UP_SIDE]
  file = codec.compress(image)
  pixels = {"pixels": image[None]}
  requests = [
    {
      "compress": {"image_bytes": np.array([tf.io.encode_png(image).numpy()], object)},
      "compress_pixels": pixels,
      "decompress": {"file_bytes": np.array([file], object)},
      "decompress_png": {"file_bytes": np.array([file], object)},
    },
    {
      "analysis": pixels,
      "synthesis": {"y_hat": codec.latents(file).y_hat[None]},
      "reconstruct": pixels,
    },
  ]
  if codec.config.gain_lambdas:
    at = {"quality": np.float32([codec.quality])}
    names = [["compress", "compress_pixels"], ["analysis", "synthesis", "reconstruct"]]
    for of_module, twice in zip(requests, names):
      of_module.update({f"{name}_at_quality": {**of_module[name], **at} for name in twice})
  return requests
