"""Laws of the codec: decoded images agree with the model, for every prior and size."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.coding.freezing import freeze
from bmshj_minnen.coding.graph_codec import tensorflow_codec
from bmshj_minnen.coding.tensor_transforms import TensorTransforms
from bmshj_minnen.format import reading, writing
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.model_files import model_directory, weights
from tests import codecs

_SIZES = [(1, 1), (1, 40), (16, 16), (17, 33), (65, 31), (128, 96)]


_CONVERTED = {
  "converted joint": codecs.CONVERTED,
  "converted factorized": {"density_filters": (3, 3, 3, 3), "medians": True},
}


@pytest.fixture(scope="module", params=[*config.PRIORS, *_CONVERTED])
def case(request, tmp_path_factory):
  prior, fields = request.param.split()[-1], _CONVERTED.get(request.param, {})
  return codecs.make_codec(prior, tmp_path_factory.mktemp("models"), **fields)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
  """A codec of none of the models above, which accepts 1,600 pixels."""
  folder = tmp_path_factory.mktemp("other")
  codecs.make_codec("joint", folder, seed=2)
  return bmshj_minnen.load(folder / "joint", max_pixels=40 * 40)


@pytest.mark.parametrize("size", _SIZES)
def test_decoding_gives_the_latents_that_were_encoded(case, size):
  codec, _ = case
  data, sent = codec.compress_with_latents(codecs.photograph(*size))
  received = codec.latents(data)
  for ours, theirs in zip(sent, received):
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.tobytes() == theirs.tobytes()
  assert codec.compress(codecs.photograph(*size)) == data


@pytest.mark.parametrize("size", _SIZES)
def test_pixels_are_the_models_own_reconstruction(case, size):
  codec, _ = case
  data, latents = codec.compress_with_latents(codecs.photograph(*size))
  image = codec.decompress(data)
  assert image.dtype == np.uint8 and image.shape == (*size, 3)
  model = codecs.model_of(codec)
  float_image = model.synthesis(latents.y_hat[None])[0, : size[0], : size[1]]
  expected = np.clip(np.round(float_image), 0, 255)
  # Two float implementations of g_s may round a pixel differently.
  assert np.abs(image - expected).max() <= 1
  assert np.mean(image != expected) < 0.01


@pytest.mark.parametrize("case", ["factorized", "joint"], indirect=True)
def test_bfloat16_is_rounding_of_the_same_transforms(case):
  codec, frozen = case
  image = codecs.photograph(65, 31)
  arrays = weights.to_arrays(codecs.model_of(codec))
  model = model_directory.model_for_coding(codec.config, arrays, "bfloat16")
  half = tensorflow_codec(frozen, model)
  y = codec.graphs.analyze(image)[0].numpy()
  error = half.graphs.analyze(image)[0].numpy() - y
  assert 0 < np.sqrt(np.mean(error**2)) < 2**-6 * np.sqrt(np.mean(y**2))
  data, sent = half.compress_with_latents(image)
  assert codec.latents(data).y_hat.tobytes() == sent.y_hat.tobytes()
  levels, half_levels = (c.decompress(data).astype(float) for c in (codec, half))
  assert np.sqrt(np.mean((levels - half_levels) ** 2)) < 5


def test_an_unknown_precision_is_named():
  with pytest.raises(
    ValueError, match="unknown precision 'float8': choose one of float32, bfloat16, auto"
  ):
    bmshj_minnen.load(precision="float8")


def test_latents_are_rounded_around_the_means(case):
  codec, _ = case
  image = codecs.photograph(128, 96)
  _, latents = codec.compress_with_latents(image)
  y = codecs.model_of(codec).analysis(image[None])[0].numpy()
  # Half a symbol, and half a step of the grid on top; float differences of g_a.
  assert np.abs(latents.y_hat - y).max() < 0.5 + 2.0**-4
  if not codec.config.parts.means:
    np.testing.assert_array_equal(latents.y_hat, np.round(latents.y_hat))


def test_padding_costs_no_latents(case):
  codec, _ = case
  _, latents = codec.compress_with_latents(codecs.photograph(65, 33))
  assert latents.y_hat.shape == (5, 3, codecs.M)
  side = codecs.N if codec.config.parts.hyperprior else 0
  assert latents.z_hat.shape == (2, 1, side)


def test_sizes_do_not_retrace(tmp_path, monkeypatch):
  traced = []
  for name in ("g_a_graph", "h_a_graph", "g_s_graph"):
    function = getattr(TensorTransforms, name)

    def counted(*args, function=function, name=name):
      traced.append(name)
      return function(*args)

    monkeypatch.setattr(TensorTransforms, name, counted)
  codec, _ = codecs.make_codec("joint", tmp_path)
  for size in ((20, 20), (90, 50), (1, 1)):
    codec.decompress(codec.compress(codecs.photograph(*size)))
  assert sorted(traced) == ["g_a_graph", "g_s_graph", "h_a_graph"]


def test_eager_and_graph_give_the_same_payload_and_latents(case):
  codec, _ = case
  # The same y and ẑ for both: floats of the networks may round differently.
  y, z_hat = codec.graphs.analyze(tf.constant(codecs.photograph(65, 31)))
  payload, y_hat = codec.graphs.encode(y, z_hat)
  in_graphs, y_hat_of_graphs = codec._coder.encode(y.numpy(), z_hat.numpy())
  assert in_graphs == payload.numpy()
  assert y_hat_of_graphs.tobytes() == y_hat.numpy().tobytes()
  eager, _, _ = codec.graphs.decode(payload, tf.constant(65), tf.constant(31))
  assert eager.numpy().tobytes() == y_hat.numpy().tobytes()
  of_graphs, _, _ = codec._coder.decode(payload.numpy(), 5, 2)
  assert of_graphs.tobytes() == y_hat.numpy().tobytes()


def test_any_payload_of_the_right_checksum_ends(case):
  codec, _ = case
  generator = np.random.default_rng(0)
  for payload in (b"", b"\xff\x80\x00\x00", b"\xff" * 200, generator.bytes(500)):
    data = writing.pack(codec.fingerprint, 90, 50, payload)
    try:
      image = codecs.in_time(functools.partial(codec.decompress, data))
      assert image.shape == (90, 50, 3)
    except bmshj_minnen.BitstreamError:
      pass


def test_a_payload_of_the_wrong_end_is_named_where_it_begins(case):
  codec, _ = case
  file = codec.compress(codecs.photograph(20, 30))
  bad = writing.pack(codec.fingerprint, 20, 30, reading.parse(file)[1] + b"junk" * 9)
  for data, offset in ((bad, 20), (with_metadata(bad, b"exif", b""), 40)):
    with pytest.raises(bmshj_minnen.BitstreamError, match="does not end where") as info:
      codec.decompress(data)
    assert info.value.offset == offset


def test_outliers_of_z_and_y_survive(case):
  codec, _ = case
  height, width = 3, 4
  generator = np.random.default_rng(0)
  y = generator.normal(size=(height, width, codecs.M)) * 10.0 ** generator.integers(0, 6, codecs.M)
  y = y.astype(np.float32)
  z = np.round(generator.normal(size=(1, 1, codec._coder._coder.prior.z_channels)) * 3000).astype(
    np.float32
  )
  payload, y_hat = codec._coder.encode(y, z)
  received, z_received, whole = codec._coder.decode(payload, height, width)
  assert received.tobytes() == y_hat.tobytes()
  np.testing.assert_array_equal(z_received, z)
  assert whole


def test_latents_beyond_the_grid_saturate_on_both_sides(case):
  codec, _ = case
  y = np.full((2, 2, codecs.M), 1e9, np.float32)
  z = np.zeros((1, 1, codec._coder._coder.prior.z_channels), np.float32)
  payload, y_hat = codec._coder.encode(y, z)
  received, _, _ = codec._coder.decode(payload, 2, 2)
  assert received.tobytes() == y_hat.tobytes()
  assert y_hat.max() > 0


def test_frozen_arrays_round_trip_and_fingerprint_tells_models_apart(case):
  codec, frozen = case
  again = FrozenPrior.from_arrays(frozen.arrays())
  assert again.fingerprint == frozen.fingerprint == codec.fingerprint
  tables = dataclasses.replace(frozen.tables, offset=frozen.tables.offset + 1)
  assert dataclasses.replace(frozen, tables=tables).fingerprint != codec.fingerprint
  assert dataclasses.replace(frozen, y_step=2.0**-3).fingerprint != codec.fingerprint
  for name, layer in frozen.layers.items():
    weights = layer.weights.copy()
    weights[-1, -1] += 1
    changed = {**frozen.layers, name: dataclasses.replace(layer, weights=weights)}
    assert dataclasses.replace(frozen, layers=changed).fingerprint != codec.fingerprint


def test_frozen_parameters_are_close_to_the_float_ones(case):
  codec, frozen = case
  if not codec.config.parts.is_conditional:
    assert not frozen.layers
    return
  _, latents = codec.compress_with_latents(codecs.photograph(128, 96))
  mean, scale = codecs.float_parameters(codecs.model_of(codec), latents)
  index = 63 * np.log(scale / 0.11) / np.log(256 / 0.11)
  if frozen.thresholds is not None:
    index += 0.5  # Rounds up to the next index, not to the nearest.
  fixed_mean, fixed_index = codecs.frozen_parameters(codec, latents)
  assert np.abs(fixed_mean - mean).max() < 0.02 * max(1.0, np.abs(mean).max())
  assert np.abs(fixed_index - index).max() < 0.5 + 0.2


def test_the_mask_holds_in_a_model_just_loaded(tmp_path):
  model = codecs.make_model("joint")
  # Junk behind the mask must reach neither the file's networks nor the float ones.
  saved = model.g_cm.kernel
  model.g_cm.assign_kernel(saved + 100 * (1 - np.sign(np.abs(saved))))
  image = tf.constant(codecs.photograph(64, 64)[None])
  try:
    model_directory.save(model, tmp_path / "junk", image)
    assert freeze(model, image).layers["g_cm"].weights.shape[0] == 12 * codecs.M
  finally:
    model.g_cm.assign_kernel(saved)
  model_directory.save(model, tmp_path / "clean", image)
  junk, clean = (bmshj_minnen.load(tmp_path / name) for name in ("junk", "clean"))
  assert junk.fingerprint == clean.fingerprint
  y_hat = tf.random.stateless_normal([1, 4, 4, codecs.M], [0, 0])
  for name in ("junk", "clean"):
    loaded = bmshj_minnen.load_model(tmp_path / name)
    np.testing.assert_allclose(loaded.g_cm(y_hat), model.g_cm(y_hat), atol=1e-5)


@pytest.mark.parametrize(
  "image",
  [
    np.zeros((4, 4, 3), np.float32),
    np.zeros((4, 4), np.uint8),
    np.zeros((4, 4, 4), np.uint8),
    np.zeros((0, 4, 3), np.uint8),
    np.zeros((1, 65537, 3), np.uint8),
  ],
)
def test_wrong_images_are_refused(case, image):
  with pytest.raises(ValueError, match="uint8 image|sides"):
    case[0].compress(image)


@pytest.mark.parametrize("wrong", [-1, 1.5, np.nan, np.inf, "2"])
@pytest.mark.parametrize("name", ["memory", "max_pixels"])
def test_limits_that_are_no_whole_numbers_are_refused_at_once(name, wrong):
  for load in (bmshj_minnen.load, lambda **limit: bmshj_minnen.load_for(b"", **limit)):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least [01], not"):
      load(**{name: wrong})


def test_damage_wrong_models_and_sizes_over_the_limit_raise(case, other):
  codec, _ = case
  data = codec.compress(codecs.photograph(40, 41))
  with pytest.raises(bmshj_minnen.BitstreamError):
    codec.decompress(data[:-1])
  with pytest.raises(bmshj_minnen.BitstreamError, match="another model"):
    other.decompress(data)
  with pytest.raises(bmshj_minnen.BitstreamError, match="too large"):
    other.decompress(other.compress(codecs.photograph(40, 41)))


@pytest.mark.parametrize("damage", ["missing", "config", "weights", "coder"])
def test_broken_model_directories_are_named(damage, tmp_path):
  codecs.make_codec("factorized", tmp_path)
  folder = tmp_path / "factorized"
  if damage == "missing":
    folder = tmp_path / "nowhere"
  elif damage == "config":
    (folder / "config.json").write_text("{")
  else:
    (folder / f"{damage}.npz").write_bytes(b"junk")
  # A codec needs no config.json, and a model no coder.npz.
  loads = {"config": [bmshj_minnen.load_model], "coder": [bmshj_minnen.load]}
  loads = loads.get(damage, [bmshj_minnen.load, bmshj_minnen.load_model])
  for load in loads:
    with pytest.raises(ValueError, match="nowhere|config.json|damaged"):
      load(folder)


def test_files_of_different_models_are_told_and_folders_without_the_fingerprint_read(tmp_path):
  photo = codecs.photograph(40, 41)
  codec, _ = codecs.make_codec("factorized", tmp_path / "a", seed=1)
  codecs.make_codec("factorized", tmp_path / "b", seed=2)
  folder, other = tmp_path / "a" / "factorized", tmp_path / "b" / "factorized"
  with np.load(folder / "weights.npz") as file:
    arrays = dict(file)
  held = arrays.pop("coder")
  assert held.tobytes() == codec.fingerprint
  (folder / "weights.npz").write_bytes((other / "weights.npz").read_bytes())
  with pytest.raises(ValueError, match=r"weights.npz and coder.npz are of different models") as e:
    bmshj_minnen.load(folder)
  assert "\n" not in str(e.value)
  bmshj_minnen.load_model(folder)  # It needs no coder.npz.
  np.savez(folder / "weights.npz", **arrays)
  assert bmshj_minnen.load(folder).compress(photo) == codec.compress(photo)
