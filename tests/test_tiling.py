"""Large images in tiles: the same result as the whole network, in bounded memory."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config, receptive_field
from bmshj_minnen.coding import passes, tiling
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.coding.tensor_coder import TensorCoder
from bmshj_minnen.coding.tensor_transforms import field_of_network
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.format.orders import Order
from tests import codecs, programs

# By hand: four layers downwards use samples 16 i - 30 to 16 i + 30 for sample i, of which 16 i to
# 16 i + 15 are unit i itself; h_a uses 4 i - 7 to 4 i + 7. Upwards the layers use i - 1 to i + 2.
_FIELDS = {
  "g_a": tiling.TileGeometry(16, 1, 2, 1, 1300),
  "h_a": tiling.TileGeometry(4, 1, 2, 1, 300),
  "h_s": tiling.TileGeometry(1, 4, 1, 2, 5000),
  "g_s": tiling.TileGeometry(1, 16, 1, 2, 2400),
}
_TINY = 1  # Bytes: the smallest tiles, of 16x16 units.
# Several small tiles both ways, with whole and partial latents and hyper-latents; and a strip.
_SIZES = [(521, 300), (272, 467), (16, 700)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def codec(folder):
  return codecs.make_codec("joint", folder)[0]


@pytest.fixture(scope="module")
def shipped():
  return bmshj_minnen.load("joint-mse")


@pytest.fixture
def tiny(codec):
  """A function that calls another function with the smallest tiles."""
  return functools.partial(_in_tiles, codec)


def _in_tiles(codec, function, *args):
  codec.memory = _TINY
  try:
    return function(*args)
  finally:
    codec.memory = tiling.DEFAULT_MEMORY


def _image(height, width):
  photograph = codecs.photograph(512, 512)
  return np.tile(photograph, (2, 2, 1))[:height, :width]


@pytest.mark.parametrize("field", [*_FIELDS.values(), tiling.refinement(_FIELDS["g_a"])])
def test_spans_cover_an_axis_once_with_their_halos(field):
  for size in range(1, 120):
    for length in range(field.before + field.after + 1, 40):
      parts = tiling.spans(size, length, field)
      assert [p.first for p in parts] == [0, *(p.last for p in parts[:-1])]
      assert parts[-1].last == size
      for begin, end, first, last in parts:
        assert 0 <= begin <= first < last <= end <= size
        assert end - begin == min(length, size), "all tiles have one shape"
        assert begin == 0 or begin + field.before <= first
        assert end == size or last + field.after <= end


def test_windows_keep_to_the_limit():
  random = np.random.default_rng(0)
  for height, width, units in random.integers(1, 2000, (500, 3)):
    rows, columns = tiling.window(height, width, units, _FIELDS["g_a"])
    assert rows * columns <= max(units, 16 * 16)
    if height * width <= units:
      assert (rows, columns) == (height, width)


def test_photographs_of_the_paper_are_one_tile():
  """Kodak's size, with the paper's largest N and M, needs no tiles."""
  model = config.ModelConfig("joint", 192, 320)
  for name, side in [("g_a", 16), ("g_s", 16), ("h_a", 64), ("h_s", 64)]:
    field = _FIELDS[name]
    units = tiling.units(field, model, tiling.DEFAULT_MEMORY)
    height, width = 768 // side, 512 // side
    if name != "g_s":
      assert tiling.window(height, width, units, field) == (height, width)
  g_s = _FIELDS["g_s"]
  units = tiling.units(g_s, config.ModelConfig("joint", 192, 192), tiling.DEFAULT_MEMORY)
  assert tiling.window(48, 32, units, g_s) == (48, 32)


@pytest.mark.parametrize("size", _SIZES)
def test_analysis_in_tiles_is_that_of_the_whole(codec, tiny, size):
  image = _image(*size)
  whole, _ = codec.graphs.analyze(tf.constant(image))
  y = tiny(codec._analyze, image, None, None)
  np.testing.assert_allclose(y, whole, atol=1e-5 * np.abs(whole).max(), rtol=0)
  # h_a of exactly the same y; its rounding may differ.
  z_whole = codec._transforms.hyper_analysis(y, tiling.DEFAULT_MEMORY)
  z_hat = codec._transforms.hyper_analysis(y, _TINY)
  assert z_hat.shape == z_whole.shape
  assert np.abs(z_hat - z_whole).max() <= 1 and np.mean(z_hat != z_whole) < 1e-3


@pytest.mark.parametrize("size", _SIZES)
def test_files_decode_to_the_same_latents_in_any_tiles(codec, tiny, size):
  image = _image(*size)
  whole, sent = codec.compress_with_latents(image)
  tiled, tiled_sent = tiny(codec.compress_with_latents, image)
  assert np.mean(sent.y_hat != tiled_sent.y_hat) < 1e-3
  for data, expected in ((whole, sent), (tiled, tiled_sent)):
    for received in (codec.latents(data), tiny(codec.latents, data)):
      assert received.y_hat.tobytes() == expected.y_hat.tobytes()
      assert received.z_hat.tobytes() == expected.z_hat.tobytes()


@pytest.mark.parametrize("size", _SIZES)
def test_synthesis_in_tiles_is_that_of_the_whole(shipped, size):
  # A trained model: x_hat of the others is in the millions, with rounding errors above a level.
  data = shipped.compress(_image(*size))
  whole = shipped.decompress(data).astype(int)
  tiled = _in_tiles(shipped, shipped.decompress, data)
  assert tiled.shape == whole.shape and tiled.dtype == np.uint8
  assert np.abs(tiled - whole).max() <= 1
  assert np.mean(tiled != whole) < 1e-4


def _linear(name, source):
  """The sum over each output's receptive field, layer by layer; all kernels are ones."""
  stack = {
    "g_a": [(5, 2)] * 4,
    "h_a": [(3, 1), (5, 2), (5, 2)],
    "h_s": [(5, -2), (5, -2), (3, 1)],
    "g_s": [(5, -2)] * 4,
  }[name]
  x = tf.constant(source[None])
  for support, stride in stack:
    # A bias: zeros must be padded to every layer, not to the first alone.
    x, kernel = x % 101 + 1, tf.ones([support, support, 1, 1], tf.float64)
    padding = [[0, 0], [support // 2] * 2, [support // 2] * 2, [0, 0]]
    if stride > 0:
      x = tf.nn.conv2d(x, kernel, stride, padding)
    else:
      shape = [1, 2 * x.shape[1], 2 * x.shape[2], 1]
      x = tf.nn.conv2d_transpose(x, kernel, shape, 2, padding)
  return x[0].numpy()


@pytest.mark.parametrize("name", _FIELDS)
def test_fields_are_computed_from_the_layers(codec, tiny_model, name):
  assert field_of_network(name, getattr(tiny_model("joint"), name)) == _FIELDS[name]
  used = codec._coder._h_s_field if name == "h_s" else codec._transforms._transforms.fields[name]
  assert used == _FIELDS[name]


@pytest.mark.parametrize("name", _FIELDS)
def test_halos_cover_the_receptive_field_and_no_more(name):
  field, size, units = _FIELDS[name], (50, 37), 16 * 16
  random = np.random.default_rng(0)
  source = random.integers(0, 9, [*(field.inputs * s for s in size), 1]).astype(np.float64)
  shape = tuple(field.outputs * s for s in size)
  whole = _linear(name, source)

  def tiled(**changes):
    changed = dataclasses.replace(field, **changes)
    return tiling.run(changed, lambda x: _linear(name, x), source, shape, units)

  np.testing.assert_array_equal(tiled(), whole)
  assert (tiled(before=field.before - 1) != whole).any()
  assert (tiled(after=field.after - 1) != whole).any()


def test_the_halo_of_the_codec_matters(codec, tiny, monkeypatch):
  image = _image(*_SIZES[0])
  whole, _ = codec.graphs.analyze(tf.constant(image))
  for change in ({"before": 1}, {"after": 0}):
    with monkeypatch.context() as patch:
      patch.setitem(
        codec._transforms._transforms.fields, "g_a", dataclasses.replace(_FIELDS["g_a"], **change)
      )
      y = tiny(codec._analyze, image, None, None)
    assert np.abs(y - whole).max() > 1e-4 * np.abs(whole).max()


@pytest.mark.parametrize("support", [7, 5, 0])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (200, 150), (2, 40000), (300, 400)])
def test_segments_are_the_steps_in_order(support, size):
  height, width = size
  (only,) = passes.Schedule(Order(), support).passes
  parts = passes.segments(only.step_sizes(*size))
  assert parts[0][::2] == (0, 0) and parts[-1].end == height * width
  for one, other in zip(parts, parts[1:]):
    assert (one.last_step, one.end) == (other.first_step, other.begin)
  most = 2**16 if not support else 2**12 + min(height, width)
  assert all(0 < part.end - part.begin <= most for part in parts)


@pytest.mark.parametrize(
  ("prior", "size", "fields"),
  [
    ("mean_scale_hyperprior", (260, 265), codecs.CONVERTED),
    ("joint", (130, 141), {}),
  ],
)
def test_pieces_give_the_payload_of_the_whole(prior, size, fields, tmp_path):
  """There are enough latents for several segments, and several steps of a prior without context."""
  coder = codecs.make_codec(prior, tmp_path, **fields)[0]._coder
  random = np.random.default_rng(0)
  height, width = size
  y = (5 * random.standard_normal([height, width, codecs.M])).astype(np.float32)
  z_hat = np.round(
    3 * random.standard_normal([-(-height // 4), -(-width // 4), coder._coder.prior.z_channels])
  ).astype(np.float32)
  encode = tf.function(coder._coder.encode_graph, autograph=False)
  payload, y_hat = encode(tf.constant(y), tf.constant(z_hat))
  pieces, y_hat_of_pieces = coder.encode(y, z_hat, _TINY)
  assert pieces == payload.numpy()
  assert y_hat_of_pieces.tobytes() == y_hat.numpy().tobytes()
  received, z_received, whole = coder.decode(payload.numpy(), height, width, _TINY)
  assert whole
  assert received.tobytes() == y_hat.numpy().tobytes()
  np.testing.assert_array_equal(z_received, z_hat)


def test_a_step_without_context_is_65536_positions(tmp_path):
  """The format has 2^16 positions in raster order, then the escaped values of these positions."""
  _, frozen = codecs.make_codec("mean_scale_hyperprior", tmp_path)
  last = frozen.layers["h_s/2"]
  # Biases alone: every position has the same means and tables.
  last = dataclasses.replace(last, weights=np.zeros_like(last.weights))
  frozen = dataclasses.replace(frozen, layers={**frozen.layers, "h_s/2": last})
  mean, index = np.split(np.clip(np.round(last.bias * last.scale), -(2**15), 2**15 - 1), 2)
  table = np.clip(index, 0, 63).astype(np.int32) + codecs.N  # Tables of z come first.
  height, width = 260, 265
  random = np.random.default_rng(0)
  symbols = random.integers(-30, 31, [height * width, codecs.M])  # Many are in no table.
  y = (frozen.y_step * mean + symbols).astype(np.float32).reshape(height, width, -1)
  z_hat = random.integers(-9, 10, [65, 67, codecs.N]).astype(np.float32)
  payload, _ = LatentCoder(frozen, TensorCoder(frozen)).encode(y, z_hat)
  reader = range_coder.RangeCoder(frozen.tables)
  handle = reader.start_decoder(payload)
  handle, received = reader.pop(handle, tf.tile(tf.range(codecs.N), [65 * 67]))
  np.testing.assert_array_equal(received, z_hat.reshape(-1))
  for step in (symbols[: 2**16], symbols[2**16 :]):
    handle, received = reader.pop(handle, tf.constant(np.tile(table, len(step))))
    np.testing.assert_array_equal(received, step.reshape(-1))
  assert reader.finish_decoder(handle)


def test_progress_goes_from_nothing_to_all(codec, tiny):
  image, fractions = _image(521, 300), []
  data = tiny(codec.compress, image, None, fractions.append)
  assert len(fractions) > 5
  assert fractions == sorted(fractions) and 0 < fractions[0] and fractions[-1] == pytest.approx(1)
  fractions.clear()
  tiny(codec.decompress, data, None, fractions.append)
  assert len(fractions) > 5
  assert fractions == sorted(fractions) and 0 < fractions[0] and fractions[-1] == pytest.approx(1)


_PEAK = """
import sys
import numpy as np
import bmshj_minnen
from tests import codecs

codec = bmshj_minnen.load(sys.argv[1])
codec.memory = int(sys.argv[2])

def peak(side):
  codecs.forget_peak()
  codec.decompress(codec.compress(np.zeros([side, side, 3], np.uint8)))
  return codecs.peak()

peak(64)
print(peak(768), peak(1792))
"""


def test_memory_hardly_grows_with_the_image(codec, folder):
  """Only data that is kept per pixel and latent adds to it."""
  result = programs.run(_PEAK, folder / "joint", 2**24)
  assert result.returncode == 0, result.stderr
  small, large = map(int, result.stdout.split())
  pixels = 1792**2 - 768**2
  assert large - small < 12 * pixels  # One layer alone, [H / 2, W / 2, 8] float32, takes 8.


def test_strides_that_do_not_fit_the_format_are_refused():
  layers = [receptive_field.ReceptiveField(5, down=2)] * 3
  with pytest.raises(ValueError, match="the strides of g_a must make 16 downwards and 1 upwards"):
    tiling.geometry_of("g_a", layers)
