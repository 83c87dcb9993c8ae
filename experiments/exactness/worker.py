"""Encodes or decodes under the settings of its own process; see `matrix.py`.

Thread counts and rewriters of graphs are flags; oneDNN and instruction sets are environment
variables that TensorFlow reads when it starts.
"""

import pathlib

import numpy as np
import tensorflow as tf
from absl import app, flags

import bmshj_minnen
from bmshj_minnen.command_line import usage
from bmshj_minnen.format import reading
from bmshj_minnen.format.graph_writing import pack_graph
from experiments.exactness import files, runtimes

_FOLDER = flags.DEFINE_string(
  "folder", None, "Folder with models/PRIOR and image.png.", required=True
)
_SETTING = flags.DEFINE_string("setting", None, "Name of this setting.", required=True)
_DECODE = flags.DEFINE_bool("decode", False, "Decode the files of all settings.")
_REWRITER = flags.DEFINE_string("rewriter", "", "One of `matrix.REWRITERS`, or none.")
_THREADS = flags.DEFINE_integer("threads", 0, "Threads of TensorFlow; 0: its default.")


def compress_eagerly(
  codec: bmshj_minnen.Codec, image: np.ndarray
) -> tuple[bytes, bmshj_minnen.Latents]:
  """`Codec.compress_with_latents` for [H, W, 3] uint8, op by op instead of in graphs."""
  quality = files.quality(codec)
  y, z_hat = codec.graphs.analyze(tf.constant(image), quality)
  payload, y_hat = codec.graphs.encode(y, z_hat)
  data = pack_graph(codec.fingerprint, *tf.unstack(tf.shape(image)[:2]), payload, quality)
  return data.numpy(), bmshj_minnen.Latents(y_hat.numpy(), z_hat.numpy())


def eager_latents(codec: bmshj_minnen.Codec, data: bytes) -> bmshj_minnen.Latents:
  """`Codec.latents`, op by op instead of in a graph."""
  has_quality = files.quality(codec) is not None
  header, payload = reading.unpack(data, codec.fingerprint, has_quality=has_quality)
  y_hat, z_hat, _ = codec.graphs.decode(
    tf.constant(payload), tf.constant(header.height), tf.constant(header.width)
  )
  return bmshj_minnen.Latents(y_hat.numpy(), z_hat.numpy())


def encode(folder: pathlib.Path, setting: str) -> None:
  """Writes one file per model, eagerly and in a graph, and a hash of ŷ."""
  image = bmshj_minnen.read_image(folder / "image.png")

  def coded():
    for model in files.models(folder):
      codec = bmshj_minnen.load(model)
      quality = files.quality(codec)
      yield model.name, "graph", codec.compress_with_latents(image, quality=quality)
      yield model.name, "eager", compress_eagerly(codec, image)

  files.write(folder, setting, coded())


def decode(folder: pathlib.Path, setting: str) -> int:
  """Decodes all files in a graph, this setting's also eagerly; returns the number of failures."""
  codecs = {path.name: bmshj_minnen.load(path) for path in files.models(folder)}

  def latents_of(model, data, is_own):
    found = {"graph": codecs[model].latents(data)}
    return {**found, "eager": eager_latents(codecs[model], data)} if is_own else found

  return files.read(folder, setting, latents_of)


def main(argv):
  """Flags -> encode or decode."""
  usage.refuse_arguments(argv)
  runtimes.limit_threads(runtimes.TENSORFLOW, _THREADS.value)
  if _REWRITER.value == "jit":
    tf.config.optimizer.set_jit(True)
  elif _REWRITER.value.startswith("auto_mixed_precision"):
    tf.config.optimizer.set_experimental_options({_REWRITER.value: True})
  folder = pathlib.Path(_FOLDER.value)
  if _DECODE.value:
    return min(decode(folder, _SETTING.value), 1)
  encode(folder, _SETTING.value)


if __name__ == "__main__":
  app.run(main)
