"""Changes networks in one place, trains a little, and compares files with the Keras model.

`python -m experiments.round_trip.variants --image=kodim01.png`

Columns: PSNR of the Keras model in one parallel pass; the same with ŷ = round(y - mean) + mean at
one position after another, as in files; PSNR of a file that was written and read back; the share of
pixels that differ when the photograph, repeated 2x2, is coded in tiles, and the largest difference.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np
import tensorflow_compression as tfc
from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config, layers, metrics
from bmshj_minnen.coding import tiling
from bmshj_minnen.layers import quantizers
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.layers.convolutions import GDN, Convolution, PolyphaseConvolution
from bmshj_minnen.layers.convolutions import TransposedConvolution as Transposed
from bmshj_minnen.training import loop
from bmshj_minnen.training.train_config import TrainConfig

_IMAGE = flags.DEFINE_string("image", None, "A photograph.", required=True)
_STEPS = flags.DEFINE_integer("steps", 600, "Steps of each training.", lower_bound=1)
_TRAIN_GLOB = flags.DEFINE_string("train_glob", "", "A pattern; empty: bundled photographs.")
_MEMORY = 2**22  # Bytes per tile.


@layers.register("other GDN")
class _OtherGDN(layers.Networks):
  """x / (β + γ |x|), tensorflow-compression's default."""

  def _gdn(self, inverse):
    return tfc.GDN(inverse=inverse, alpha_parameter=1, epsilon_parameter=1, dtype="float32")

  def g_a(self):
    hidden = [Convolution(self.config.num_filters, 5, 2, self._gdn(False)) for _ in range(3)]
    return Chain([*hidden, Convolution(self.config.latent_channels, 5, 2, dtype="float32")])

  def g_s(self):
    hidden = [Transposed(self.config.num_filters, self._gdn(True)) for _ in range(3)]
    return Chain([*hidden, PolyphaseConvolution(3, dtype="float32")])


@layers.register("3x3")
class _Support3(layers.Networks):
  """3x3 kernels in g_a instead of 5x5."""

  def g_a(self):
    hidden = [Convolution(self.config.num_filters, 3, 2, GDN(inverse=False)) for _ in range(3)]
    return Chain([*hidden, Convolution(self.config.latent_channels, 3, 2, dtype="float32")])


class _Residual(tf.keras.layers.Layer):
  receptive_field = layers.ReceptiveField(5)

  def __init__(self, channels):
    super().__init__()
    conv = tf.keras.layers.Conv2D
    self._both = [conv(channels, 3, padding="same", activation=a) for a in ("relu", None)]

  def call(self, x):
    return x + self._both[1](self._both[0](x))


@layers.register("residual g_a")
class _ResidualAnalysis(layers.Networks):
  """A residual block behind each GDN of g_a."""

  def g_a(self):
    n, hidden = self.config.num_filters, []
    for _ in range(3):
      hidden += [Convolution(n, 5, 2, GDN(inverse=False)), _Residual(n)]
    return tf.keras.Sequential(
      [*hidden, Convolution(self.config.latent_channels, 5, 2, dtype="float32")]
    )


_VARIANTS = {
  "the paper's": {},
  "GDN with alpha = epsilon = 1": {"networks": "other GDN"},
  "3x3 kernels in g_a": {"networks": "3x3"},
  "residual g_a": {"networks": "residual g_a"},
  "7x7 context": {"context_support": 7},
}


def _psnr(image, x_hat):
  return metrics.psnr(image, np.clip(np.round(x_hat[0]), 0, 255).astype(np.uint8))


def measure(directory: pathlib.Path, image: np.ndarray) -> str:
  """The columns for a trained model and an image [H, W, 3] uint8."""
  codec, model = bmshj_minnen.load(directory), bmshj_minnen.load_model(directory)
  x = tf.constant(image[None])
  parallel, _ = model.forward_rounded(x)
  in_turn, _ = model.forward(model.analysis(x), None, quantizers.in_turn, quantizers.rounding)
  path = directory / "photo.tfci"
  path.write_bytes(codec.compress(image))
  file = codec.decompress(path.read_bytes())
  large = np.tile(image, (2, 2, 1))
  whole = codec.decompress(codec.compress(large)).astype(int)
  codec.memory = _MEMORY
  tiled = codec.decompress(codec.compress(large))
  codec.memory = tiling.DEFAULT_MEMORY
  differ, most = np.mean((whole != tiled).any(-1)), np.abs(whole - tiled).max()
  columns = " | ".join(f"{_psnr(image, x_hat):.3f}" for x_hat in (parallel, in_turn, file[None]))
  return f"{columns} | {100 * differ:.4f} %, {most} | {path.stat().st_size}"


def main(_):
  """Prints a row for each variant."""
  image = bmshj_minnen.read_image(_IMAGE.value)
  training = TrainConfig(
    "", train_glob=_TRAIN_GLOB.value, crop=128, steps=_STEPS.value, batch=4, learning_rate=1e-3
  )
  print(
    "| variant | Keras, dB | in turn, dB | file, dB | tiles: pixels, levels | bytes |\n"
    "|---|---:|---:|---:|---:|---:|"
  )
  for name, fields in _VARIANTS.items():
    with startup.one_line_errors(), tempfile.TemporaryDirectory() as folder:
      directory = pathlib.Path(folder) / "model"
      loop.train(
        config.ModelConfig("joint", 16, 24, **fields),
        dataclasses.replace(training, model_dir=str(directory), save_every=_STEPS.value),
      )
      print(f"| {name} | {measure(directory, image)} |", flush=True)


if __name__ == "__main__":
  app.run(main)
