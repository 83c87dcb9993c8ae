"""Better latents: files that any decoder reads, with less R + λD."""

import concurrent.futures
import json

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config, metrics
from bmshj_minnen.coding import refinement, tiling
from bmshj_minnen.coding.refinement import Refiner
from bmshj_minnen.data import finding
from bmshj_minnen.model_files import model_directory
from tests import codecs

_MODEL = "joint-mse"
_STEPS = 12  # Enough for the margins below.
_FEW = 4  # Eagerly these take less time than to trace a graph.
# Sides are not multiples of 16: the last latents cover pixels outside the photograph.
_IMAGE = codecs.photograph(70, 90)


def _lambda(quality):
  """The λ of a quality in 1..100, log-linear from 0.002 to 0.128."""
  return 0.002 * 64 ** ((quality - 1) / 99)


_LAMBDA = _lambda(50)  # λ of the default quality.


@pytest.fixture(scope="module")
def plain():
  return bmshj_minnen.load(_MODEL)


@pytest.fixture(scope="module")
def refining():
  return bmshj_minnen.load(_MODEL, refine=_STEPS)


@pytest.fixture(scope="module")
def refined(refining):
  """The refined file, the latents that were sent, and the fractions of progress."""
  fractions = []
  return *refining.compress_with_latents(_IMAGE, progress=fractions.append), fractions


def _rate_and_mse(codec, image, data):
  """Bits per pixel of a file and its distortion, with NumPy alone."""
  error = codec.decompress(data).astype(np.float64) - image
  return 8 * len(data) / (image.shape[0] * image.shape[1]), np.mean(error**2)


def _loss(codec, image, data, lmbda=_LAMBDA):
  rate, mse = _rate_and_mse(codec, image, data)
  return rate + lmbda * mse


def test_refined_files_have_less_rate_and_distortion_for_any_decoder(plain, refined):
  before = _loss(plain, _IMAGE, plain.compress(_IMAGE))
  assert _loss(plain, _IMAGE, refined[0]) < 0.97 * before


def test_files_get_better_with_steps_at_low_rates_too(plain, refining):
  """Few steps mix symbols and many draw them; both hold where ŷ is far from y."""
  quality, losses = 10, []
  for codec in (plain, refining, bmshj_minnen.load(_MODEL, refine=refinement._FEW_STEPS + 4)):
    data = codec.compress(_IMAGE, quality=quality)
    losses.append(_loss(plain, _IMAGE, data, _lambda(quality)))
  # Every quality is refined for its own rate.
  assert losses[2] < losses[1] < 0.98 * losses[0]


def test_what_is_sent_is_what_is_decoded(plain, refined):
  data, sent, _ = refined
  received = plain.latents(data)
  assert received.y_hat.tobytes() == sent.y_hat.tobytes()
  assert received.z_hat.tobytes() == sent.z_hat.tobytes()


@pytest.mark.usefixtures("eagerly")
def test_lambda_trades_rate_for_distortion_and_is_that_of_the_quality(plain):
  image = _IMAGE[:48, :64]
  own, high, low = (
    bmshj_minnen.load(_MODEL, refine=_FEW, lmbda=lmbda) for lmbda in (None, _lambda(85), 1e-4)
  )
  file = high.compress(image, quality=85)
  assert own.compress(image, quality=85) == file
  rate, mse = _rate_and_mse(plain, image, file)
  lower_rate, higher_mse = _rate_and_mse(plain, image, low.compress(image, quality=85))
  assert lower_rate < rate and mse < higher_mse


def test_high_qualities_are_refined_for_their_own_rate(plain, refining):
  files = [codec.compress(_IMAGE, quality=90) for codec in (plain, refining)]
  before, after = (_loss(plain, _IMAGE, file, _lambda(90)) for file in files)
  assert after < 0.98 * before


@pytest.mark.parametrize("quality", [1, 40])
def test_nothing_gets_worse_whatever_is_in_the_picture(plain, refining, quality):
  """Changes of y must not make its ẑ wrong, which costs most where almost nothing is sent."""
  held_out = bmshj_minnen.read_image(finding.held_out_photographs()[0])
  ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[:64, None, None], [64, 64, 3])
  before, after = [], []
  for image in (held_out[-64:, -64:], ramp, np.full_like(ramp, 200)):
    for codec, costs in ((plain, before), (refining, after)):
      data = codec.compress(image, quality=quality)
      costs.append(_loss(codec, image, data, _lambda(quality)))
  # A file differs a little from the estimate that is minimized.
  assert np.all(np.divide(after, before) < 1.03)
  assert sum(after) < sum(before)


def test_files_depend_on_neither_threads_nor_calls_before(refining):
  images = [codecs.photograph(48, 64), codecs.photograph(20, 30)]
  alone = [refining.compress(image) for image in images]
  with concurrent.futures.ThreadPoolExecutor(2) as pool:
    assert list(pool.map(refining.compress, 2 * images)) == 2 * alone


@pytest.mark.usefixtures("eagerly")
def test_bfloat16_refines_as_well(plain):
  codec = bmshj_minnen.load(_MODEL, refine=_FEW, precision="bfloat16")
  before = _loss(plain, _IMAGE, plain.compress(_IMAGE))
  assert _loss(plain, _IMAGE, codec.compress(_IMAGE)) < 0.97 * before


def test_the_smallest_tiles_keep_most_of_what_the_whole_saves(plain, refining, monkeypatch):
  """Each tile is refined without its neighbours' changes; the halo is half a side."""
  image = codecs.photograph(224, 96)
  whole = _loss(plain, image, refining.compress(image))
  monkeypatch.setattr(refining, "memory", 1)  # One byte gives the smallest tiles.
  tiled = _loss(plain, image, refining.compress(image))
  before = _loss(plain, image, plain.compress(image))
  assert before - tiled > 2 / 3 * (before - whole)


def _relaxed(relaxed, done, y, mean):
  """Latents with zero contexts, minus their means: whole numbers when they are coded."""
  return relaxed([0, 7], tf.constant(done))(tf.constant(y), lambda _: tf.constant(mean)) - mean


def test_latents_begin_with_noise_and_end_as_symbols():
  random = np.random.default_rng(0)
  y, mean = random.normal(0, 3, [2, 1, 30, 40, 5]).astype(np.float32)
  symbols = y - mean
  noise = _relaxed(refinement._mixed, 0.0, y, mean) - symbols
  assert abs(noise.numpy().mean()) < 0.01 and abs(noise.numpy().var() - 1 / 12) < 0.005
  np.testing.assert_allclose(
    _relaxed(refinement._mixed, 1.0, y, mean), np.round(symbols), atol=1e-5
  )
  for done, most in ((0.0, 0.5), (1.0, 0.05)):
    sample = _relaxed(refinement._sampled, done, y, mean).numpy()
    assert np.all(np.floor(symbols) - 1e-4 < sample) and np.all(sample < np.ceil(symbols) + 1e-4)
    assert np.mean(np.abs(sample - np.round(sample)) > 0.1) < most
  # In the end it is the nearer symbol, except for latents near the middle.
  is_clear = np.abs(symbols - np.round(symbols)) < 0.4
  np.testing.assert_allclose(sample[is_clear], np.round(symbols)[is_clear], atol=0.1)


def test_progress_reaches_the_end(refined):
  fractions = refined[2]
  assert fractions == sorted(fractions) and fractions[-1] == 1


# The priors left out have some parts of the joint one.
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("prior", ["factorized", "scale_hyperprior", "joint"])
def test_priors_of_all_parts_can_be_refined(prior, tmp_path):
  codecs.save_model(prior, tmp_path)
  codec, refining = (bmshj_minnen.load(tmp_path, refine=n, lmbda=0.01) for n in (0, 2))
  image = codecs.photograph(70, 50)
  data, sent = refining.compress_with_latents(image)
  assert data != codec.compress(image)
  assert codec.latents(data).y_hat.tobytes() == sent.y_hat.tobytes()


@pytest.mark.usefixtures("eagerly")
def test_ms_ssim_is_refined_where_it_exists():
  model, lmbda = model_directory.load_model(_MODEL), _LAMBDA
  refiner = Refiner(model, 100.0, "ms_ssim", _FEW)
  padded = codecs.photograph(config.MS_SSIM_MIN_SIZE, 176)
  y = model.analysis(padded[None], tf.constant([lmbda]))
  y = y[0].numpy()
  assert refiner(padded[:-1], y, lmbda).tobytes() == y.tobytes()
  refined = refiner(padded, y, lmbda)
  scores = []
  for latents in (y, refined):
    x_hat = model.synthesis(tf.round(latents)[None], tf.constant([lmbda]))[0]
    x_hat = tf.clip_by_value(x_hat[: len(padded)], 0, 255)
    scores.append(float(metrics.ms_ssim(padded, x_hat)))
  assert scores[1] > scores[0]


def test_without_a_known_lambda_one_must_be_given(tmp_path):
  folder = tmp_path / "model"
  codecs.save_model("factorized", folder)
  with pytest.raises(ValueError, match="no train.json that says for which λ"):
    bmshj_minnen.load(folder, refine=1)
  for text in ("", "[", "[]", "{}", '{"flags": []}', '{"flags": {"lmbda": 0.01}}', "\udcff"):
    (folder / "train.json").write_text(text, errors="surrogateescape")
    with pytest.raises(ValueError, match=r"train.json is damaged \(.*\): copy the model again, or"):
      bmshj_minnen.load(folder, refine=1)
  for wrong in ({"lmbda": "x"}, {"lmbda": -1}, {"lmbda": 1, "distortion": "other"}):
    (folder / "train.json").write_text(json.dumps({"flags": {"distortion": "mse", **wrong}}))
    with pytest.raises(ValueError, match="train.json is damaged"):
      bmshj_minnen.load(folder, refine=1)
  bmshj_minnen.load(folder)


def test_tiles_of_the_refinement_have_halos_that_cover_those_of_g_a():
  for before, after in [(2, 1), (7, 6)]:
    field = tiling.refinement(tiling.TileGeometry(16, 1, before, after, 1000))
    assert field.before >= max(4, before) and field.after >= max(4, after)
  indivisible = tiling.refinement(tiling.TileGeometry(16, 1, 0, 0, 0))
  assert not indivisible.memory


@pytest.mark.usefixtures("eagerly")
def test_whoever_hears_of_progress_may_stop_between_steps():
  """Ctrl-C does the same; all of these steps would take hours."""
  codec = bmshj_minnen.load(_MODEL, refine=10**5)
  for calls in (1, 3):
    heard = []

    def progress(fraction, heard=heard, calls=calls):
      heard.append(fraction)
      if len(heard) == calls:
        raise InterruptedError

    with pytest.raises(InterruptedError):
      codec.compress(_IMAGE, progress=progress)
    assert heard == [0.0] * calls
