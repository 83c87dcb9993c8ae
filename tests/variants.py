"""Checks that a model with other parts of its prior is the same in Keras and in files."""

import functools
import hashlib
import json
import pathlib
import subprocess
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.coding import tiling
from bmshj_minnen.layers import quantizers
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.psnr import psnr
from bmshj_minnen.runtime.graph import traced
from tests import codecs, reference_decoder

LAMBDA = 1e-6  # g_s is not trained, so that only the rate can fall.
_ROOT = pathlib.Path(__file__).parent.parent
# Decodes and encodes a file in NumPy, in a process that knows nothing of the model but its folder.
_ELSEWHERE = """
import sys
sys.modules["tensorflow"] = None
import hashlib, json, pathlib
from bmshj_minnen import config as cfg
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.format import reading
from bmshj_minnen.model_files.codec_files import read_prior
from bmshj_minnen.portable.loading import array_coder
folder = pathlib.Path(sys.argv[1])
prior = read_prior(folder)
header, payload = reading.unpack((folder / "photo.tfci").read_bytes(), prior.fingerprint)
coder = LatentCoder(prior, array_coder(prior))
size = [cfg.latent_size(side) for side in (header.height, header.width)]
y_hat, z_hat, whole = coder.decode(payload, *size)
again, same = coder.encode(y_hat, z_hat)
print(json.dumps([whole, again == payload, hashlib.sha256(y_hat.tobytes()).hexdigest()]))
"""


def trained(prior: str, steps: int = 150, **fields) -> bmshj_minnen.Model:
  """A small model whose prior is trained for some steps on the latents of a photograph."""
  model = codecs.make_model.__wrapped__(prior, **fields)
  x = tf.constant(np.stack([codecs.photograph(256, 448)[:, i : i + 256] for i in (0, 192)]))
  y = model.analysis(x)
  rate = tf.keras.optimizers.schedules.CosineDecay(2e-2, steps)
  optimizer = tf.keras.optimizers.Adam(rate)
  prior_of = [v for v in model.trainable_variables if not any(v is w for w in _fixed(model))]
  optimizer.build(prior_of)

  @functools.partial(tf.function, autograph=False)
  def step(number):
    with tf.GradientTape() as tape:
      rate = model.rate_of_latents(y, tf.stack([0, number]))
      loss = tf.reduce_mean(rate.y_bits + rate.z_bits) / 1e4
    optimizer.apply_gradients(zip(tape.gradient(loss, prior_of), prior_of))

  for number in range(steps):
    step(tf.constant(number))
  return model


def _fixed(model):
  return [*model.g_a.trainable_variables, *model.g_s.trainable_variables]


def check(
  folder: pathlib.Path, model: bmshj_minnen.Model, size=(250, 440), refines: bool = False
) -> bytes:
  """Saves a model, codes a photograph and compares the file with the model; returns the file.

  The size of the file, the decoded picture, tiles, another process in NumPy, and refinement if
  asked for: it knows a prior only by the model's rate, so that one test of each kind is enough.
  """
  image = codecs.photograph(*size)
  model_directory.save(model, folder, tf.constant(codecs.photograph(256, 256)[None]))
  codec = bmshj_minnen.load(folder)
  data, sent = codec.compress_with_latents(image)
  (folder / "photo.tfci").write_bytes(data)
  # The size is the one that the model estimates.
  y_hat, z_hat = sent.y_hat[None], None if model.h_a is None else sent.z_hat[None]
  rate = model.rate(y_hat, z_hat)
  estimate = float(rate.y_bits[0] + rate.z_bits[0]) / 8
  latents, unit, escaped = _by_reference(folder, data)
  np.testing.assert_array_equal(latents, sent.y_hat * unit)
  # Symbols outside their tables take two bytes more.
  assert len(data) > 1500
  assert -0.01 * estimate < len(data) - 20 - estimate < 0.01 * estimate + escaped
  # The picture is that of Keras alone, which rounds in turn.
  decoded = codec.decompress(data)
  expected = _keras(model, image)
  assert abs(psnr(image, decoded) - psnr(image, expected)) < 0.02
  # In tiles, and in another process without TensorFlow.
  for memory in (tiling.DEFAULT_MEMORY, 1):
    codec.memory = memory
    assert codec.latents(data).y_hat.tobytes() == sent.y_hat.tobytes()
  process = [sys.executable, "-c", _ELSEWHERE, str(folder)]
  answer = subprocess.run(process, check=True, cwd=_ROOT, capture_output=True).stdout
  whole, same, digest = json.loads(answer)
  assert whole and same and digest == _sha256(sent.y_hat)
  if refines:
    _check_refinement(folder, model, codec, image)
  return data


def _by_reference(folder, data):
  """ŷ / y_step by the reference decoder, 1 / y_step, and bytes of symbols outside their tables."""
  model = reference_decoder.read_model(str(folder))
  picture = reference_decoder.read_file(data, model)
  one_symbol = reference_decoder.RangeDecoder.symbol
  escaped = []

  def symbol(self, cdf):
    if cdf is reference_decoder.BYTE_CDF:
      escaped.append(1)
    return one_symbol(self, cdf)

  with mock.patch.object(reference_decoder.RangeDecoder, "symbol", symbol):
    latents, _ = reference_decoder.decode_latents(picture, model)
  return latents, model.unit, len(escaped)


def _check_refinement(folder, model, codec, image):
  """Refined latents are coded exactly, and by the model's own density: no more than 2 % is lost.

  With g_s untrained there is little to gain.
  """
  refined = bmshj_minnen.load(folder, refine=16, lmbda=LAMBDA)
  costs = []
  for coder in (codec, refined):
    data, sent = coder.compress_with_latents(image)
    assert codec.latents(data).y_hat.tobytes() == sent.y_hat.tobytes()
    error = np.mean((codec.decompress(data).astype(float) - image) ** 2)
    costs.append(8 * len(data) / image[..., 0].size + LAMBDA * error)
  assert costs[1] < 1.02 * costs[0]


def _keras(model, image):
  padding = [(0, -side % 16) for side in image.shape[:2]]
  x = np.pad(image, [*padding, (0, 0)], mode="edge")[None]
  forward = traced(
    lambda x: model.forward(model.analysis(x), None, quantizers.in_turn, quantizers.rounding)[0],
    [tf.TensorSpec(x.shape, x.dtype)],
  )
  x_hat = forward(tf.constant(x))[0, : image.shape[0], : image.shape[1]]
  return np.clip(np.round(x_hat), 0, 255).astype(np.uint8)


def _sha256(array):
  return hashlib.sha256(array.tobytes()).hexdigest()
