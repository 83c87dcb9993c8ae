"""The order of coding, and a raster-order reference in int64 NumPy that must give the same ŷ."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.coding import autoregressive_loop, passes
from bmshj_minnen.format.orders import Order
from bmshj_minnen.kernels.polyphase import polyphase
from bmshj_minnen.layers import transforms
from tests import codecs

# The 12 taps of a 5x5 mask of type A, in raster order.
_TAPS = [(di, dj) for di in range(-2, 1) for dj in range(-2, 3) if (di, dj) < (0, 0)]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (5, 4), (7, 11)])
def test_order_is_a_permutation_that_respects_the_mask(size):
  height, width = size
  where = passes.Wavefront(5).positions(height, width)
  np.testing.assert_array_equal(passes.Wavefront(5).positions(*map(tf.constant, size)), where)
  np.testing.assert_array_equal(np.sort(where), np.arange(height * width))
  step = {(p // width, p % width): p % width + 3 * (p // width) for p in where}
  rank = {(p // width, p % width): k for k, p in enumerate(where)}
  assert sorted(rank, key=lambda p: (step[p], p[0])) == sorted(rank, key=rank.get)
  for i, j in rank:
    for di, dj in _TAPS:
      if (i + di, j + dj) in rank:
        assert step[i + di, j + dj] < step[i, j]


class _Taps:
  """Stands in for the networks: means are the neighbours themselves."""

  schedule, num_parts = passes.Schedule(Order(), 5), 1

  def prepare(self, psi, part):
    return psi

  def split(self, y_hat):
    return y_hat[None]

  def parameters(self, prepared, neighbours, part):
    return neighbours[0], tf.zeros_like(prepared)


@pytest.mark.parametrize(
  "size", [(1, 1), (1, 9), (40, 1), (40, 2), (9, 5), (5, 40), (13, 31), (16, 16)]
)
def test_every_step_sees_the_neighbours_that_the_mask_lets_it_see(size):
  height, width = size
  y = np.random.default_rng(0).integers(1, 100, size=(height, width, 2)).astype(np.float32)
  seen = np.full([height * width, 24], -1, np.float32)

  def side(handle, mean, table, where):
    seen[where.numpy()] = mean.numpy()
    return handle, tf.gather(tf.reshape(y, [-1, 2]), where)

  # Eagerly, so that `side` may have side effects.
  none = tf.zeros([height * width, 1])
  _, y_hat = autoregressive_loop.code_latents(
    _Taps(), side, tf.constant(0), none, *map(tf.constant, size), 2
  )
  np.testing.assert_array_equal(y_hat.numpy(), y.reshape(-1, 2))
  padded = np.pad(y, [(2, 2), (2, 2), (0, 0)])
  expected = [padded[2 + i : 2 + i + height, 2 + j : 2 + j + width] for i, j in _TAPS]
  np.testing.assert_array_equal(seen, np.concatenate(expected, -1).reshape(-1, 24))


def _apply(layer, x, thresholds=None):
  """A `FixedLayer` on [fan_in] int64, rounded and saturated like every activation.

  With thresholds, the last outputs are scales; each becomes the number of thresholds below it.
  """
  x = (layer.weights.astype(np.int64).T @ x + layer.bias) * layer.scale
  if layer.slope != 256:
    x = np.where(x < 0, x * (float(layer.slope) / 256), x)
  result = np.clip(np.round(x), -(2**15), 2**15 - 1).astype(np.int64)
  if thresholds is not None:
    exceeded = np.round(x[-codecs.M :, None]) > thresholds
    result[-codecs.M :] = exceeded.sum(1)
  return result


def _psi(frozen, z_hat, height, width):
  """Computes h_s position by position."""
  x = z_hat.astype(np.int64)
  if frozen.config.medians:
    x = np.concatenate([x, np.ones_like(x[..., :1])], -1)
  for i in range(3):
    rows, columns, channels = x.shape
    padded = np.zeros((rows + 2, columns + 2, channels), np.int64)
    padded[1:-1, 1:-1] = x
    up = 1 if i == 2 else 2
    layer = frozen.layers[f"h_s/{i}"]
    out = np.zeros((up * rows, up * columns, layer.weights.shape[1] // up**2), np.int64)
    for r in range(rows):
      for c in range(columns):
        thresholds = frozen.thresholds if i == 2 and "g_cm" not in frozen.layers else None
        block = _apply(layer, padded[r : r + 3, c : c + 3].reshape(-1), thresholds)
        out[up * r : up * r + up, up * c : up * c + up] = block.reshape(up, up, -1)
    x = out
  return x[:height, :width]


def _raster_decode(frozen, latents):
  """Parameters and ŷ at each position in raster order, from the encoder's y on the grid."""
  y_hat = np.round(latents.y_hat / frozen.y_step).astype(np.int64)
  height, width, m = y_hat.shape
  psi = np.zeros((height, width, 0), np.int64)
  if latents.z_hat.shape[2]:
    psi = _psi(frozen, latents.z_hat, height, width)
  padded = np.zeros((height + 4, width + 4, m), np.int64)
  residuals = np.zeros_like(y_hat)
  indices = np.zeros_like(y_hat)
  for i in range(height):
    for j in range(width):
      features = psi[i, j]
      if "g_cm" in frozen.layers:
        taps = np.concatenate([padded[i + 2 + di, j + 2 + dj] for di, dj in _TAPS])
        features = np.concatenate([features, _apply(frozen.layers["g_cm"], taps)])
        for k in range(3):
          last = frozen.thresholds if k == 2 else None
          features = _apply(frozen.layers[f"g_ep/{k}"], features, last)
      residuals[i, j] = y_hat[i, j] - features[:m]
      indices[i, j] = np.clip(features[m:], 0, 63)
      padded[i + 2, j + 2] = y_hat[i, j]
  return residuals, indices


@pytest.mark.parametrize("fields", [{}, codecs.CONVERTED], ids=["trained", "converted"])
@pytest.mark.parametrize("prior", ["mean_scale_hyperprior", "autoregressive", "joint"])
def test_wavefront_equals_the_raster_reference(prior, fields, tmp_path):
  codec, frozen = codecs.make_codec(prior, tmp_path, **fields)
  for size in ((144, 80), (16, 100), (70, 16)):
    _assert_equals_the_raster_reference(codec, frozen, size)


def _assert_equals_the_raster_reference(codec, frozen, size):
  data, latents = codec.compress_with_latents(codecs.photograph(*size))
  residuals, indices = _raster_decode(frozen, latents)
  # ŷ differs from the reference's means by whole symbols everywhere: one mean that differs in its
  # last bit would break that, unless the grid had only whole numbers.
  unit = round(1 / frozen.y_step)
  assert unit > 1
  assert (residuals % unit == 0).all()
  assert np.abs(residuals).max() > 0
  # The reference's tables decode the same symbols from the same file.
  decoded = _decode_with(codec, frozen, data, latents.z_hat, indices)
  np.testing.assert_array_equal(decoded, residuals // unit)


def _decode_with(codec, frozen, data, z_hat, indices):
  """Decodes the symbols of a file with given table indices, [h, w, M]."""
  from bmshj_minnen.entropy import range_coder
  from bmshj_minnen.format import reading

  coder = range_coder.RangeCoder(frozen.tables)
  _, payload = reading.unpack(data, codec.fingerprint)
  handle = coder.start_decoder(tf.constant(payload))
  channels = z_hat.shape[2]
  handle, z = coder.pop(handle, tf.tile(tf.range(channels), [z_hat.shape[0] * z_hat.shape[1]]))
  np.testing.assert_array_equal(z.numpy(), z_hat.reshape(-1))
  height, width, m = indices.shape
  symbols = np.zeros_like(indices)
  steps = [[] for _ in range(width + 3 * height)]
  for i in range(height):
    for j in range(width):
      steps[j + 3 * i if "g_cm" in frozen.layers else 0].append((i, j))
  for positions in filter(None, steps):
    where = tuple(np.array(positions).T)
    tables = indices[where].reshape(-1) + channels
    handle, values = coder.pop(handle, tf.constant(tables, tf.int32))
    symbols[where] = values.numpy().reshape(-1, m)
  return symbols


def test_phases_are_the_transposed_convolution():
  layer = transforms.hyper_synthesis_transform((4, 6), 6, tf.nn.relu).layers[0]
  x = np.random.default_rng(0).normal(size=(1, 5, 3, 7)).astype(np.float32)
  expected = layer(x)
  conv = tf.nn.conv2d(x, polyphase(layer.kernel.numpy()), 1, "SAME")
  result = tf.nn.depth_to_space(conv, 2) + layer.bias
  np.testing.assert_allclose(tf.nn.relu(result), expected, atol=1e-5)
