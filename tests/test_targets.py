"""A quality that meets a target: at most the bytes or bits per pixel, at least the PSNR."""

import fractions
import math

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen import metrics, targets
from bmshj_minnen.format import reading
from bmshj_minnen.quality import QUALITIES
from tests import codecs

_IMAGE = codecs.photograph(120, 170)


@pytest.fixture(scope="module")
def codec():
  return bmshj_minnen.load()


def _quality(data):
  return reading.parse_intact(data)[0].quality


def _searched(target, measure):
  """The result of a search over an invented curve, and the qualities that were tried."""
  tried = []

  def attempt(quality):
    tried.append(quality)
    return targets.Trial(round(measure(quality)), measure(quality))

  return targets.search(target, attempt), tried


_CURVES = {
  "as photographs": lambda q: 9000 * math.exp(0.021 * q),
  "flat at first": lambda q: 5000 + 20 * max(0.0, q - 60) ** 2 + q / 100,
  "steep": lambda q: 100 * math.exp(0.1 * q),
  "a jump": lambda q: 1000 + q + (9000 if q > 33 else 0),
}


@pytest.mark.parametrize("curve", _CURVES)
def test_the_search_finds_what_trying_everything_finds(curve):
  measure = _CURVES[curve]
  for goal in np.linspace(measure(1) + 1, measure(100) * 1.1, 37):
    result, tried = _searched(targets.Target(bytes=int(goal)), measure)
    assert result == max(q for q in QUALITIES if round(measure(q)) <= int(goal))
    assert len(tried) == len(set(tried)) <= 6 + 8  # Six guesses, then bisection of the rest.
    if measure(1) < goal < measure(100):
      result, _ = _searched(targets.Target(psnr=goal), measure)
      assert result == min(q for q in QUALITIES if measure(q) >= goal)


def test_photographs_need_a_handful_of_trials():
  for goal in range(10_000, 70_000, 1_000):
    _, tried = _searched(targets.Target(bytes=goal), _CURVES["as photographs"])
    assert len(tried) <= 5


def test_equal_pictures_end_the_search_too():
  result, _ = _searched(targets.Target(psnr=50), lambda q: 1e9 if q < 1 else 30 + (q > 70) * 900)
  assert result == 70.5
  trial = lambda q: targets.Trial(9, math.inf)  # noqa: E731
  assert targets.search(targets.Target(psnr=50), trial) == 1


def test_bytes_are_not_exceeded_and_used(codec):
  sizes = [len(codec.compress(_IMAGE, quality=q)) for q in (1, 100)]
  for limit in np.linspace(*sizes, 6, dtype=int):
    data = codec.compress(_IMAGE, bytes=int(limit))
    assert len(data) <= limit
    if _quality(data) < 100:
      assert len(codec.compress(_IMAGE, quality=_quality(data) + 0.5)) > limit


def test_bits_per_pixel_are_bytes(codec):
  pixels = _IMAGE.shape[0] * _IMAGE.shape[1]
  data = codec.compress(_IMAGE, bpp=0.5)
  assert data == codec.compress(_IMAGE, bytes=math.floor(0.5 * pixels / 8))
  assert 0.48 < 8 * len(data) / pixels <= 0.5


def test_psnr_is_met_and_little_more(codec):
  ends = [
    metrics.psnr(_IMAGE, codec.decompress(codec.compress(_IMAGE, quality=q))) for q in (5, 95)
  ]
  for goal in np.linspace(*ends, 3):
    data = codec.compress(_IMAGE, psnr=goal)
    assert metrics.psnr(_IMAGE, codec.decompress(data)) >= goal
    below = codec.compress(_IMAGE, quality=_quality(data) - 0.5)
    assert metrics.psnr(_IMAGE, codec.decompress(below)) < goal


def test_a_targeted_file_is_that_of_its_quality(codec):
  data, latents = codec.compress_with_latents(_IMAGE, psnr=33)
  assert data == codec.compress(_IMAGE, quality=_quality(data))
  assert np.array_equal(codec.latents(data).y_hat, latents.y_hat)


def test_more_than_enough_is_the_highest_and_less_than_any_the_lowest(codec):
  assert _quality(codec.compress(_IMAGE, bytes=10**9)) == 100
  assert _quality(codec.compress(_IMAGE, psnr=1)) == 1


def test_targets_out_of_reach(codec):
  for size in (0.5, 1e-300):
    with pytest.raises(targets.TargetError, match="^0 bytes are too few: the lowest quality takes"):
      codec.compress(_IMAGE, bytes=size)
  with pytest.raises(targets.TargetError, match="100 bytes are too few: the lowest quality takes"):
    codec.compress(_IMAGE, bytes=100)
  with pytest.raises(targets.TargetError, match="60 dB are too much: the highest quality gives"):
    codec.compress(_IMAGE, psnr=60)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"bytes": 900, "psnr": 30}, "give one target"),
    ({"bpp": 0}, "must be above 0"),
    ({"psnr": math.nan}, "must be above 0"),
    ({"bytes": 900, "quality": 3}, "either a quality or a target"),
  ],
)
def test_contradictions(codec, arguments, message):
  with pytest.raises(ValueError, match=message):
    codec.compress(_IMAGE, **arguments)


@pytest.mark.parametrize("wrong", ["30", True, [30], np.bool_(True), np.array([30]), 30j], ids=repr)
def test_what_is_no_number_is_refused_by_its_name(codec, wrong):
  kind = type(wrong).__name__
  for name in ("quality", "bytes", "bpp", "psnr"):
    with pytest.raises(TypeError, match=f"{name} must be a number, .*, not of type {kind}$"):
      codec.compress(_IMAGE, **{name: wrong})
  with pytest.raises(TypeError, match="quality must be a number"):
    bmshj_minnen.load(quality=wrong)
  with pytest.raises(TypeError, match="lmbda must be a number, above 0"):
    bmshj_minnen.load(refine=1, lmbda=wrong)
  for field in ("lmbda", "learning_rate", "clip_norm"):
    with pytest.raises(TypeError, match="must be a number"):
      bmshj_minnen.TrainConfig("model", **{field: wrong})


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1, 0, np.float32(np.nan), 10**400])
def test_numbers_out_of_range_are_named(codec, wrong):
  with pytest.raises(ValueError, match="the quality must be 1 to 100"):
    codec.compress(_IMAGE, quality=wrong)
  for name in ("bytes", "bpp", "psnr"):
    with pytest.raises(ValueError, match=f"the target {name} must be above 0"):
      codec.compress(_IMAGE, **{name: wrong})
  with pytest.raises(ValueError, match="the lmbda must be above 0"):
    bmshj_minnen.load(refine=1, lmbda=wrong)


def test_numbers_of_numpy_and_fractions_are_numbers(codec):
  for quality in (np.float32(37.5), np.float64(37.5), fractions.Fraction(75, 2)):
    assert codec.compress(_IMAGE, quality=quality) == codec.compress(_IMAGE, quality=37.5)
  assert codec.compress(_IMAGE, quality=np.int8(30)) == codec.compress(_IMAGE, quality=30)
  assert codec.compress(_IMAGE, bytes=np.uint16(3000)) == codec.compress(_IMAGE, bytes=3000)
  assert codec.compress(_IMAGE, psnr=np.float32(33)) == codec.compress(_IMAGE, psnr=33)


def test_models_of_one_rate_have_no_targets(tmp_path):
  codec, _ = codecs.make_codec("factorized", tmp_path)
  for target in ("bytes", "bpp", "psnr"):
    message = f"this model has one rate, which meets no target: leave {target} out"
    with pytest.raises(ValueError, match=message):
      codec.compress(_IMAGE, **{target: 30})
    with pytest.raises(ValueError, match=message):
      targets.check_request({target: 30}, codec.config)
  with pytest.raises(ValueError, match="this model has one rate: leave the quality out"):
    targets.check_request({"quality": 50}, codec.config)


def test_several_qualities_of_one_image_are_the_files_of_each(codec):
  for quality, (data, latents) in zip((3, 60.5), codec.at_qualities(_IMAGE, (3, 60.5))):
    assert data == codec.compress(_IMAGE, quality=quality)
    assert np.array_equal(codec.latents(data).y_hat, latents.y_hat)
  with pytest.raises(ValueError, match="quality must be 1 to 100"):
    list(codec.at_qualities(_IMAGE, [0]))


@pytest.mark.parametrize(
  ("asked", "size", "quality", "answered"),
  [
    ({}, 900, 50, True),
    ({}, 900, 37, False),
    ({"quality": 37}, 900, 37, True),
    ({"quality": 37}, 900, 37.5, False),
    ({"bytes": 900}, 900, 3, True),
    ({"bytes": 899}, 900, 3, False),
    ({"bpp": 0.72}, 900, 3, True),
    ({"bpp": 0.71}, 900, 3, False),
    ({"psnr": 29.04}, 900, 3, True),  # 29.05 dB is measured below.
    ({"psnr": 29.06}, 900, 3, False),
  ],
)
def test_a_file_that_is_there_answers_what_is_asked_or_not(asked, size, quality, answered):
  header = reading.Header(b"abcd", 100, 100, b"", b"", quality)
  config = bmshj_minnen.ModelConfig(gain_lambdas=(0.01, 0.1))
  measured = []

  def measure_psnr():
    measured.append(29.05)
    return 29.05

  assert targets.satisfies_request(asked, config, header, size, measure_psnr) == answered
  assert len(measured) == ("psnr" in asked)  # PSNR needs a decoder.
