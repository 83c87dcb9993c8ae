"""Orders of coding by name: the masks of training, the passes of the loop, and files."""

import json
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.coding import autoregressive_loop, passes
from bmshj_minnen.format import orders, reading
from bmshj_minnen.layers import MaskedConv2D
from tests import codecs, execution, variants

_README = pathlib.Path(__file__).parent.parent / "README.md"
orders.register("test four steps", [[0, 2], [3, 1]])
# Two slices, the first in a checkerboard, the second in rows.
orders.register("test slices in space", [[[0, 2], [1, 2]], [[1, 3], [0, 3]]])
_PATTERNS = {
  "checkerboard": [[0, 1], [1, 0]],
  "channel_slices": [[[0, 1, 2, 3]]],
  "test four steps": [[0, 2], [3, 1]],
  "test slices in space": [[[0, 2], [1, 2]], [[1, 3], [0, 3]]],
}


def _turn(name, i, j, part):
  pattern = np.atleast_3d(_PATTERNS[name])
  return pattern[i % pattern.shape[0], j % pattern.shape[1], part]


@pytest.mark.parametrize("name", _PATTERNS)
def test_g_cm_sees_earlier_passes_and_nothing_else(name):
  channels, (height, width), random = 4, (6, 7), np.random.default_rng(0)
  one = orders.order_of(name)
  y_hat = random.normal(size=(height, width, channels)).astype(np.float32)
  for part in range(one.slices):
    layer = MaskedConv2D(3, one.masks(5, part))
    layer(tf.zeros([1, 5, 5, channels]))
    layer.assign_kernel(random.uniform(0.5, 1.5, layer.kernel.shape))
    before = layer(y_hat[None])[0].numpy()
    for position in [(0, 0), (2, 3), (3, 3), (5, 6)]:
      for channel in range(channels):
        changed, at = y_hat.copy(), channel * one.slices // channels
        changed[(*position, channel)] += 9
        seen = np.abs(layer(changed[None])[0].numpy() - before).max(-1) > 1e-4
        for i, j in np.ndindex(height, width):
          is_near = max(abs(position[0] - i), abs(position[1] - j)) <= 2
          expected = is_near and _turn(name, *position, at) < _turn(name, i, j, part)
          assert seen[i, j] == expected, (part, position, channel, i, j)


class _Neighbours:
  """Stands in for the networks, and records what a row sees."""

  num_parts = 1

  def __init__(self, name):
    self.schedule = passes.Schedule(orders.order_of(name), 5)
    self.seen = []

  def prepare(self, psi, part):
    return psi

  def split(self, y_hat):
    return y_hat[None]

  def parameters(self, prepared, neighbours, part):
    self.seen.append(neighbours[0])
    return prepared, prepared


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (5, 8), (70, 90)])
@pytest.mark.parametrize("name", _PATTERNS)
def test_the_loop_sees_the_masks_of_training(name, size):
  (height, width), networks, rows = size, _Neighbours(name), []
  slices = networks.schedule.slices
  y = np.random.default_rng(0).integers(1, 100, (height * width * slices, 2)).astype(np.float32)

  def side(handle, mean, table, where):
    rows.append(where)
    return handle, y[where]

  none = np.zeros([height * width, 1], np.float32)
  _, y_hat = autoregressive_loop.code_latents(networks, side, None, none, height, width, 2 * slices)
  np.testing.assert_array_equal(y_hat, y.reshape(height * width, -1))
  all_rows = np.concatenate(rows)
  np.testing.assert_array_equal(np.sort(all_rows), np.arange(len(y)))
  turns = [_turn(name, *divmod(row // slices, width), row % slices) for row in all_rows]
  assert turns == sorted(turns)
  padded = np.pad(y.reshape(height, width, slices, 2), [(2, 2), (2, 2), (0, 0), (0, 0)])
  for where, seen in zip(rows, networks.seen):
    for row, found in list(zip(where, seen))[:40]:
      (i, j), part = divmod(row // slices, width), row % slices
      masks = orders.order_of(name).masks(5, part)
      mask = masks[i % len(masks), j % masks.shape[1]][..., None]
      expected = (padded[i : i + 5, j : j + 5] * mask)[masks.any((0, 1))]
      np.testing.assert_array_equal(found, expected.reshape(-1))
  for one in networks.schedule.passes:
    np.testing.assert_array_equal(one.positions(*map(tf.constant, size)), one.positions(*size))


# `test_mixtures` has channel slices, with a hyperprior.
@pytest.mark.parametrize("name", ["checkerboard", "test slices in space"])
def test_files_of_other_orders_are_the_models(name, tmp_path):
  model = variants.trained("autoregressive", steps=75, order=name)
  is_checkerboard = name == "checkerboard"  # Its graphs have a test of their own.
  with execution.eagerly(is_checkerboard):
    variants.check(tmp_path, model, refines=is_checkerboard)


def test_an_order_is_coded_in_as_many_steps_as_it_has_passes():
  assert len(passes.Schedule(orders.order_of("checkerboard"), 5).passes) == 2
  assert len(passes.Schedule(orders.order_of("channel_slices"), 5).passes) == 4


def test_orders_that_cannot_be_are_refused_by_name():
  with pytest.raises(ValueError, match="order 'nobodys'.*import the module"):
    bmshj_minnen.Model(bmshj_minnen.ModelConfig(order="nobodys"))
  with pytest.raises(ValueError, match="order 'checkerboard' needs a context"):
    bmshj_minnen.ModelConfig("mean_scale_hyperprior", order="checkerboard")
  with pytest.raises(ValueError, match="'channel_slices' has 4 slices, so M must be a multiple"):
    bmshj_minnen.Model(bmshj_minnen.ModelConfig("joint", 4, 6, order="channel_slices"))
  with pytest.raises(ValueError, match="'causal' ships"):
    orders.register("causal", [[0]])
  for pattern in ([0, 1], [[0, 2]], [[[0, 0]]], [[0.5, 1]], [[0, 1], [2]], np.zeros([0, 2], int)):
    with pytest.raises(ValueError, match="the order 'test bad'"):
      orders.register("test bad", pattern)


def test_other_files_than_the_causal_orders(tmp_path):
  """A model of the same weights in another order does not decode a file."""
  codec, _ = codecs.make_codec("autoregressive", tmp_path / "one")
  other, _ = codecs.make_codec("autoregressive", tmp_path / "other", order="checkerboard")
  with pytest.raises(bmshj_minnen.BitstreamError, match="fingerprint"):
    other.decompress(codec.compress(codecs.photograph(40, 40)))


@pytest.mark.usefixtures("eagerly")
def test_an_order_and_a_density_of_ones_own_as_in_the_readme(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  examples = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
  (example,) = (text for text in examples if "orders.register(" in text)
  for text, small in {"128, 192": "4, 6", "steps=100_000": "steps=1, crop=64, batch=1"}.items():
    assert text in example
    example = example.replace(text, small)
  names: dict = {}
  exec(example, names)
  image = codecs.photograph(50, 40)
  assert names["codec"].decompress(names["codec"].compress(image)).shape == image.shape
  fields = json.loads((tmp_path / "models/mine/config.json").read_text())
  assert (fields["density"], fields["order"]) == ("power", "four_passes")


def test_a_checkerboard_of_mixtures_in_one_graph(tmp_path):
  codec, _ = codecs.make_codec("autoregressive", tmp_path, order="checkerboard", components=2)
  data, sent = codec.compress_with_latents(codecs.photograph(60, 90))
  _, payload = reading.unpack(data, codec.fingerprint)
  decode = tf.function(codec.graphs.decode, autograph=False)
  y_hat, _, is_whole = decode(tf.constant(payload), tf.constant(60), tf.constant(90))
  assert is_whole and y_hat.numpy().tobytes() == sent.y_hat.tobytes()
  encode = tf.function(codec.graphs.encode, autograph=False)
  assert encode(sent.y_hat, tf.constant(sent.z_hat))[0] == payload
