"""Times compressing and decompressing an image: `python -m experiments.speed.codec`."""

import contextlib
import functools
import os
import pathlib
import tempfile

from absl import app, flags

from bmshj_minnen import binaries  # Before TensorFlow, which it silences.

# isort: split
import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import model_directory, weights
from bmshj_minnen.coding import fixed_point, wavefront
from bmshj_minnen.coding.freezing import freeze
from bmshj_minnen.coding.frozen_prior import FrozenPrior, Networks
from experiments.speed import timing
from experiments.speed.photographs import photograph

_MODEL = flags.DEFINE_string("model", "", "A model directory; empty: an untrained joint model.")
_IMAGE = flags.DEFINE_string("image", "", "An image; empty: a bundled photograph as 768x512.")
_RUNS = flags.DEFINE_integer("runs", 7, "Runs that medians are taken of.", lower_bound=1)
_COMPRESSAI = flags.DEFINE_string(
  "compressai_python", "", "A Python with CompressAI; its untrained mbt2018 is timed, too."
)

# Untrained latents are scaled to about the deviation that an untrained prior predicts, so that
# the coder has the work of a high rate to do, and little of it escapes the tables.
_DEVIATION = 0.5


class _NoCoder:
  """Stands in for the range coder; its state depends on all that would be coded."""

  def push(self, handle, table, value):
    return handle + tf.reduce_sum(table) + tf.reduce_sum(value)


class _Codec:
  """What is timed; each method does one thing once."""

  def __init__(self, codec: bmshj_minnen.Codec, frozen: FrozenPrior, image: np.ndarray):
    self._codec, self._image = codec, image
    self.data = codec.compress(image)
    latents = codec.latents(self.data)
    height, width, channels = latents.y_hat.shape
    networks = Networks(frozen, fixed_point.exact_dtype())
    y = tf.constant(latents.y_hat.reshape(-1, channels) / np.float32(frozen.y_step))
    side = wavefront.Encoder(_NoCoder(), networks.unit, 0, y)
    psi = tf.function(lambda z: networks.psi(z, height, width))
    self._psi = functools.partial(psi, tf.constant(latents.z_hat))
    loop = tf.function(
      lambda psi: wavefront.scan(networks, side, tf.constant(0), psi, height, width, channels)
    )
    self._loop = functools.partial(loop, self._psi())

  def encode(self):
    seconds = {}
    self._codec.compress(self._image, seconds)
    return seconds

  def decode(self):
    seconds = {}
    self._codec.decompress(self.data, seconds)
    return seconds

  def h_s(self):
    self._psi()

  def loop(self):
    self._loop()


def _load(directory):
  codec = bmshj_minnen.load(directory)
  with np.load(pathlib.Path(directory) / "coder.npz") as arrays:
    return codec, FrozenPrior.from_arrays(dict(arrays))


def _untrained(image):
  tf.keras.utils.set_random_seed(0)
  model = bmshj_minnen.Model(bmshj_minnen.ModelConfig())
  model_directory.create_variables(model)
  x = tf.constant(image[None])
  arrays = weights.to_arrays(model)
  arrays["g_a/3/kernel"] = arrays["g_a/3/kernel"] * _DEVIATION / np.std(model.analysis(x))
  weights.assign(model, arrays)
  frozen = freeze(model, x)
  return bmshj_minnen.Codec(frozen, arrays), frozen


@contextlib.contextmanager
def _compressai(image):
  with tempfile.NamedTemporaryFile(suffix=".npy") as file:
    np.save(file.name, image)
    with timing.Peer(_COMPRESSAI.value, "codec", file.name, str(_DEVIATION)) as peer:
      yield peer


def _rows(samples):
  """Name of a table's line -> seconds of the runs."""
  h_s, no_coder = ([sample.seconds for sample in samples[name]] for name in ("h_s", "loop"))
  rows = {}
  for side, entropy in (("encode", "entropy coding"), ("decode", "entropy decoding")):
    rows[side] = [sample.seconds for sample in samples[side]]
    for part in samples[side][0].result:
      seconds = rows[f"  {side}: {part}"] = [sample.result[part] for sample in samples[side]]
      if part == entropy:
        rows[f"    {side}: h_s"] = h_s
        rows[f"    {side}: loop and range coder (rest)"] = [s - h for s, h in zip(seconds, h_s)]
  rows["the loop without range coder"] = no_coder
  rows.update({name: [s.seconds for s in runs] for name, runs in samples.items() if "AI" in name})
  return rows


def main(argv):
  """Prints a table."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}")
  with binaries.one_line_errors(), contextlib.ExitStack() as stack:
    image = photograph(_IMAGE.value)
    codec, frozen = _load(_MODEL.value) if _MODEL.value else _untrained(image)
    timed = _Codec(codec, frozen, image)
    height, width = image.shape[:2]
    print(
      f"{width}x{height}, {codec.config}, {8 * len(timed.data) / (height * width):.2f} bpp, "
      f"{os.cpu_count()} processors"
    )
    tasks = {
      name: functools.partial(timing.measure, getattr(timed, name))
      for name in ("encode", "decode", "h_s", "loop")
    }
    if _COMPRESSAI.value:
      peer = stack.enter_context(_compressai(image))
      print(f"CompressAI mbt2018: {peer.note}")
      for side in ("encode", "decode"):
        tasks[f"CompressAI {side}"] = functools.partial(peer, side)
    timing.interleave(tasks, 1)  # Warm.
    samples = timing.interleave(tasks, _RUNS.value)
    timing.print_table(_rows(samples))
    timing.print_ratios(samples, [(f"CompressAI {side}", side) for side in ("encode", "decode")])


if __name__ == "__main__":
  app.run(main)
