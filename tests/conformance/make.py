"""Writes a set of conformance vectors to a new folder: `python -m tests.conformance.make FOLDER`.

README.md lists its contents, and when the set in this folder may change.
"""

import collections
import contextlib
import hashlib
import itertools
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, Optional
from unittest import mock

import numpy as np
import PIL.Image
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.entropy.range_coder import RangeCoder
from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError
from bmshj_minnen.format.graph_writing import pack_graph
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.format.writing import pack
from bmshj_minnen.model_files import array_files, catalogue, model_directory
from bmshj_minnen.quality import default_lambda
from tests import codecs
from tests.conformance import refusals

_N, _M = 3, 4
_LAMBDAS = (0.002, 0.01, 0.128)
_GAINS = {"gain_lambdas": _LAMBDAS}
# Name -> prior, and other fields of the configuration.
_MODELS = {
  **{prior: (prior, {}) for prior in config.PRIORS},
  **{f"{prior}_gains": (prior, _GAINS) for prior in config.PRIORS},
  "converted": ("joint", codecs.CONVERTED),
  "factorized_medians_gains": ("factorized", {"medians": True, **_GAINS}),
  "context_3": ("autoregressive", {"context_support": 3}),
  "context_7": ("joint", {"context_support": 7}),
  "one_channel": ("factorized", {"num_filters": 1, "latent_channels": 1}),
}
_WITH_REFUSALS = ("joint", "joint_gains")
_EXIF, _XMP = b"II*\0\x08\0\0\0\0\0\0\0\0\0", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
_LEVELS = (118, 45)  # Mean and standard deviation of a model's pixels.


def main(folder: str) -> None:
  """Writes models, files, pixels and the index."""
  root = pathlib.Path(folder)
  for name in ("models", "files", "pixels", "refused"):
    (root / name).mkdir(parents=True)
  index: dict[str, Any] = {"$schema": "schema.json", "models": {}, "files": [], "refused": []}
  for name, (prior, changes) in _MODELS.items():
    directory = root / "models" / name
    _save(_model(prior, **changes), directory)
    _add_model(index, root, name, {"directory": f"models/{name}"}, directory)
  for name in catalogue.names():
    _add_model(index, root, name, {"shipped": name}, name)
  (root / "index.json").write_text(json.dumps(index, indent=1) + "\n")


def _model(prior, num_filters=_N, latent_channels=_M, **changes):
  """An untrained model whose latents and pixels vary."""
  tf.keras.utils.set_random_seed(11)
  model = bmshj_minnen.Model(
    bmshj_minnen.ModelConfig(prior, num_filters, latent_channels, **changes)
  )
  for variable in model.trainable_variables:
    variable.assign_add(tf.random.normal(variable.shape, stddev=0.1))
  _scale(model.g_a.layers[-1], 20)
  if model.h_a is not None:
    _scale(model.h_a.layers[-1], 20)
  for density in (model.z_density, model.y_density):
    if density is not None and density.median is not None:
      density.median.assign(tf.linspace(-2.3, 1.9, density.median.shape[0]))
  if model.gains is not None:
    random = np.random.default_rng(3)
    log_gain = 0.3 * random.normal(size=model.gains.log_gain.shape) + [[-1], [0], [1.5]]
    model.gains.log_gain.assign(log_gain)
    model.gains.log_inverse.assign(0.1 * random.normal(size=log_gain.shape) - log_gain)
  if model.config.scale_output == "scale":
    bias = model.g_ep.layers[2].bias
    scales = tf.linspace(0.0, 5.0, latent_channels)
    bias.assign(tf.concat([bias[:-latent_channels], scales], 0))
  _level(model)
  return model


def _scale(layer, factor):
  for part in (layer.kernel_parameter.real, layer.kernel_parameter.imag):
    part.assign(factor * part)


def _level(model):
  """Brings the pixels of a photograph to `_LEVELS`, and hidden layers of g_s to about 1."""
  x = tf.round(model.analysis(tf.constant(codecs.photograph(64, 64)[None])))
  if model.gains is not None:
    x *= model.gains.inverse(tf.constant([default_lambda(model.config)]))
  *hidden, last = model.g_s.layers
  for layer in hidden:
    for _ in range(8):  # An inverse GDN may square its input.
      _scale(layer, float(tf.math.reduce_std(layer(x))) ** -0.5)
    x = layer(x)
  mean, deviation = (f(last(x), (0, 1, 2)) for f in (tf.reduce_mean, tf.math.reduce_std))
  factor = _LEVELS[1] / 255 / float(tf.reduce_mean(deviation))
  _scale(last, factor)
  last.bias_parameter.assign(factor * (last.bias_parameter - mean) + _LEVELS[0] / 255)


def _save(model, directory):
  """Saves like `model_directory.save`, but with weights of 16 bits."""
  model_directory.save(model, directory, tf.constant(codecs.photograph(128, 128)[None]))
  arrays = array_files.read(directory, array_files.WEIGHTS)
  half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in arrays.items()}
  np.savez_compressed(directory / array_files.WEIGHTS, **half)


def _add_model(index, root, name, place, directory):
  codec = bmshj_minnen.load(directory)
  index["models"][name] = {**place, "fingerprint": codec.fingerprint.hex()}
  for kind, data, escapes in _files(name, codec):
    file = _write(root, "files", f"{name}.{kind}.tfci", data)
    entry = {"file": file, "model": name, **_facts(data), **_latents(codec, data)}
    if escapes is None:
      entry["pixels"] = f"pixels/{name}.{kind}.png"
      PIL.Image.fromarray(codec.decompress(data)).save(root / entry["pixels"], optimize=True)
    else:  # Floating point may overflow in g_s.
      entry["escapes"] = escapes
    index["files"].append(entry)
  if name in _WITH_REFUSALS:
    good = codec.compress(codecs.photograph(17, 33))
    pair = good, with_metadata(good, _EXIF, _XMP)
    for kind, data, max_pixels in refusals.files(*pair, _most_zeros(codec, good)):
      index["refused"].append(_refused(root, codec, name, kind, data, max_pixels))


def _write(root, folder, name, data):
  path = root / folder / name
  path.write_bytes(data)
  return str(path.relative_to(root))


def _files(name, codec) -> Iterator[tuple[str, bytes, Optional[dict[str, int]]]]:
  """Yields kind, file, and the numbers of escapes by kind if the file has no sensible pixels."""
  if name == "one_channel":
    # One step of 2^16 positions, and a part of one.
    yield "two_steps", *_coded(codec, *_constant_latents(codec, 17, 4096))
    return
  if name in catalogue.names():
    yield "40x56", codec.compress(codecs.photograph(40, 56)), None
    return
  if codec.config.gain_lambdas:
    for quality in (1, 37.5, 100):
      yield f"17x33_q{quality}", codec.compress(codecs.photograph(17, 33), quality=quality), None
  else:
    yield "17x33", codec.compress(codecs.photograph(17, 33)), None
  for kind, size in {"1x1": (1, 1), "tall": (150, 5), "wide": (5, 150)}.items():
    yield kind, codec.compress(codecs.photograph(*size)), None
  picture = codec.compress(codecs.photograph(65, 30))
  yield "metadata", with_metadata(picture, _EXIF, _XMP), None
  yield "escapes", *_coded(codec, *_wild_latents(codec, 5, 6))
  if name in _WITH_REFUSALS:
    good = codec.compress(codecs.photograph(17, 33))
    yield "payload_and_zeros", refusals.with_zeros(good, _most_zeros(codec, good)), {}
  if name == "joint":
    yield "only_exif", with_metadata(picture, _EXIF, b""), None
    # Only escapes, each with the largest value behind it: four bytes per symbol.
    counts = {"z_above": 1 * 1 * _N, "y_above": 3 * 4 * _M}
    payload = 4 * sum(counts.values()) * b"\xff"
    yield "all_ones", pack(codec.fingerprint, 48, 64, payload), counts
    _, payload = reading.parse(picture)
    yield "half_a_payload", pack(codec.fingerprint, 65, 30, payload[: len(payload) // 2]), {}


def _most_zeros(codec, data):
  """The most zeros that the codec accepts behind the payload of a file without metadata."""
  zeros = 0
  with contextlib.suppress(BitstreamError):
    while codec.latents(refusals.with_zeros(data, zeros + 1)):
      zeros += 1
  return zeros


def _wild_latents(codec, height, width):
  """y and ẑ far outside of most tables, on both sides, some beyond 16 bits."""
  random, m = np.random.default_rng(0), codec.config.latent_channels
  y = random.normal(size=(height, width, m)) * 10.0 ** random.integers(0, 6, (height, width, m))
  y[0, 0], y[1, 1] = 1e9, -1e9
  z = random.normal(size=_z_shape(codec, height, width)) * 3000
  return y, np.round(z)


def _constant_latents(codec, height, width):
  y = np.zeros((height, width, codec.config.latent_channels))
  y[::5, ::500] = 3000  # Escapes on both sides of the border of the steps.
  return y, np.zeros(_z_shape(codec, height, width))


def _z_shape(codec, height, width):
  channels = codec.config.num_filters if codec.config.parts.hyperprior else 0
  return (config.hyper_size(height), config.hyper_size(width), channels)


def _coded(codec, y, z_hat):
  """The file of given latents, and its numbers of escapes by kind."""
  counts, push = collections.Counter(), RangeCoder.push
  parts = itertools.chain("z", itertools.repeat("y"))  # ẑ is the first run, empty without h_s.

  def counting(self, handle, table_index, value):
    part, symbol = next(parts), value - tf.gather(self._offset, table_index)
    above = symbol >= tf.gather(self._escape, table_index)
    counts[f"{part}_below"] += int(np.sum(symbol < 0))
    counts[f"{part}_above"] += int(np.sum(above))
    return push(self, handle, table_index, value)

  with mock.patch.object(RangeCoder, "push", counting):
    payload, _ = codec.graphs.encode(tf.constant(y, tf.float32), tf.constant(z_hat, tf.float32))
  size = [config.LATENT_STRIDE * side - 3 for side in y.shape[:2]]
  data = pack_graph(codec.fingerprint, *map(tf.constant, size), payload, codec.quality)
  return data.numpy(), {kind: count for kind, count in counts.items() if count}


def _facts(data):
  header, _ = reading.parse_intact(data)
  return {
    "version": header.version,
    "height": header.height,
    "width": header.width,
    "quality": header.quality,
    "exif": header.exif.hex(),
    "xmp": header.xmp.hex(),
  }


def _latents(codec, data):
  y_hat, z_hat = codec.latents(data)
  step = float(np.load(_coder_of(codec))["y_step"])
  parts = {"y_hat": y_hat / step}
  if codec.config.parts.hyperprior:
    parts["z_hat"] = z_hat
  return {name: describe(array) for name, array in parts.items()}


def _coder_of(codec):
  return catalogue.find(codec.origin[1][1]) / array_files.CODER


def describe(integers: np.ndarray) -> dict[str, Any]:
  """Shape and hash of integers of any shape, as in the index."""
  data = np.asarray(integers)
  exact = data.astype("<i4")
  assert np.array_equal(exact, data)
  return {"shape": list(data.shape), "sha256": hashlib.sha256(exact.tobytes()).hexdigest()}


def _refused(root, codec, name, kind, data, max_pixels):
  codec.max_pixels = max_pixels or reading.DEFAULT_MAX_PIXELS
  try:
    codec.decompress(data)
  except BitstreamError as error:
    file = _write(root, "refused", f"{name}.{kind}.tfci", data)
    reason = {"reason": error.problem.name.lower(), "offset": error.offset}
    limit = {"max_pixels": max_pixels} if max_pixels else {}
    return {"file": file, "model": name, **reason, **limit}
  raise AssertionError(f"{name}.{kind} should be refused")


if __name__ == "__main__":
  main(*sys.argv[1:])
