"""Codes the files of all models under the settings of this process, in graphs and eagerly."""

import pathlib

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.format import reading
from bmshj_minnen.format.graph_writing import pack_graph
from experiments.exactness import files

__all__ = ["decode", "encode"]


def _compress_eagerly(
  codec: bmshj_minnen.Codec, image: np.ndarray
) -> tuple[bytes, bmshj_minnen.Latents]:
  """`Codec.compress_with_latents` for [H, W, 3] uint8, op by op instead of in graphs."""
  quality = files.quality(codec)
  y, z_hat = codec.graphs.analyze(tf.constant(image), quality)
  payload, y_hat = codec.graphs.encode(y, z_hat)
  data = pack_graph(codec.fingerprint, *tf.unstack(tf.shape(image)[:2]), payload, quality)
  return data.numpy(), bmshj_minnen.Latents(y_hat.numpy(), z_hat.numpy())


def _eager_latents(codec: bmshj_minnen.Codec, data: bytes) -> bmshj_minnen.Latents:
  """`Codec.latents`, op by op instead of in a graph."""
  has_quality = files.quality(codec) is not None
  header, payload = reading.unpack(data, codec.fingerprint, has_quality=has_quality)
  y_hat, z_hat, _ = codec.graphs.decode(
    tf.constant(payload), tf.constant(header.height), tf.constant(header.width)
  )
  return bmshj_minnen.Latents(y_hat.numpy(), z_hat.numpy())


def encode(folder: pathlib.Path, setting: str) -> None:
  """Writes one file per model, eagerly and in a graph, and a hash of ŷ.

  Args:
    folder: see `matrix.make_models`.
    setting: name of the setting.
  """
  image = bmshj_minnen.read_image(folder / "image.png")

  def coded():
    for model in files.models(folder):
      codec = bmshj_minnen.load(model)
      quality = files.quality(codec)
      yield model.name, "graph", codec.compress_with_latents(image, quality=quality)
      yield model.name, "eager", _compress_eagerly(codec, image)

  files.write(folder, setting, coded())


def decode(folder: pathlib.Path, setting: str) -> int:
  """Decodes all files in a graph, this setting's also eagerly.

  Args:
    folder: see `matrix.make_models`, with files of `encode`.
    setting: name of the setting.

  Returns:
    The number of failures.
  """
  codecs = {path.name: bmshj_minnen.load(path) for path in files.models(folder)}

  def latents_of(model, data, is_own):
    found = {"graph": codecs[model].latents(data)}
    return {**found, "eager": _eager_latents(codecs[model], data)} if is_own else found

  return files.read(folder, setting, latents_of)
