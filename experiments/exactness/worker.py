"""Encodes or decodes under the settings of its own process; see `matrix.py`.

Thread counts and what rewrites graphs are flags; oneDNN and instruction sets are environment
variables that TensorFlow reads when it starts.
"""

import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf
from absl import app, flags

import bmshj_minnen
from bmshj_minnen.format import reading
from bmshj_minnen.format.graph_writing import pack_graph

_QUALITY = 37  # Of files of models for many rates.

_FOLDER = flags.DEFINE_string("folder", None, "Holds models/PRIOR and image.png.", required=True)
_SETTING = flags.DEFINE_string("setting", None, "Name of this setting.", required=True)
_DECODE = flags.DEFINE_bool("decode", False, "Decode the files of all settings.")
_REWRITER = flags.DEFINE_string("rewriter", "", "One of `matrix.REWRITERS`, or none.")
_THREADS = flags.DEFINE_integer("threads", 0, "Of TensorFlow; 0: its default.")


def digest(latents: bmshj_minnen.Latents) -> str:
  """A hash of ŷ and ẑ, bit for bit."""
  whole = hashlib.sha256()
  for array in latents:
    whole.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
  return whole.hexdigest()


def _quality(codec):
  return _QUALITY if codec.config.gain_lambdas else None


def compress_eagerly(
  codec: bmshj_minnen.Codec, image: np.ndarray
) -> tuple[bytes, bmshj_minnen.Latents]:
  """Like `Codec.compress_with_latents`, op by op instead of in graphs."""
  quality = _quality(codec)
  y, z_hat = codec.graphs.analyze(tf.constant(image), quality)
  payload, y_hat = codec.graphs.encode(y, z_hat)
  data = pack_graph(codec.fingerprint, *tf.unstack(tf.shape(image)[:2]), payload, quality)
  return data.numpy(), bmshj_minnen.Latents(y_hat.numpy(), z_hat.numpy())


def eager_latents(codec: bmshj_minnen.Codec, data: bytes) -> bmshj_minnen.Latents:
  """Like `Codec.latents`, op by op instead of in a graph."""
  has_quality = _quality(codec) is not None
  header, payload = reading.unpack(data, codec.fingerprint, has_quality=has_quality)
  y_hat, z_hat, _ = codec.graphs.decode(
    tf.constant(payload), tf.constant(header.height), tf.constant(header.width)
  )
  return bmshj_minnen.Latents(y_hat.numpy(), z_hat.numpy())


def encode(folder: pathlib.Path, setting: str) -> None:
  """Writes one file a model, eagerly and in a graph, and what ŷ was."""
  image = bmshj_minnen.read_image(folder / "image.png")
  digests = {}
  for model in sorted((folder / "models").iterdir()):
    codec = bmshj_minnen.load(model)
    for mode, coded in (
      ("graph", codec.compress_with_latents(image, quality=_quality(codec))),
      ("eager", compress_eagerly(codec, image)),
    ):
      name = f"{model.name}.{mode}.{setting}"
      (folder / f"{name}.tfci").write_bytes(coded[0])
      digests[name] = digest(coded[1])
  (folder / f"{setting}.json").write_text(json.dumps(digests))


def decode(folder: pathlib.Path) -> int:
  """Decodes every file in a graph, this setting's own eagerly too; returns the failures."""
  expected = {}
  for path in sorted(folder.glob("*.json")):
    expected.update(json.loads(path.read_text()))
  failures = 0
  codecs = {path.name: bmshj_minnen.load(path) for path in (folder / "models").iterdir()}
  for name, wanted in expected.items():
    codec = codecs[name.split(".")[0]]
    data = (folder / f"{name}.tfci").read_bytes()
    found = {"graph": codec.latents(data)}
    if name.endswith(_SETTING.value):
      found["eager"] = eager_latents(codec, data)
    for mode, latents in found.items():
      if digest(latents) != wanted:
        failures += 1
        print(f"{name} decodes differently under {_SETTING.value}, {mode}")
  print(f"{_SETTING.value}: {len(expected)} files, {failures} failures")
  return failures


def main(argv):
  """Flags -> encode or decode."""
  del argv
  tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
  tf.config.threading.set_inter_op_parallelism_threads(_THREADS.value)
  if _REWRITER.value == "jit":
    tf.config.optimizer.set_jit(True)
  elif _REWRITER.value.startswith("auto_mixed_precision"):
    tf.config.optimizer.set_experimental_options({_REWRITER.value: True})
  folder = pathlib.Path(_FOLDER.value)
  if _DECODE.value:
    return min(decode(folder), 1)
  encode(folder, _SETTING.value)


if __name__ == "__main__":
  app.run(main)
