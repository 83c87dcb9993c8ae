"""A quality that meets a target: bytes or bits per pixel not exceeded, PSNR not missed."""

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
  """The result of a search over a made-up curve, and the qualities that were tried."""
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
    assert len(tried) == len(set(tried)) <= 6 + 8  # Six guesses, then halves of what is left.
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
    ({"psnr": 30}, 900, 3, True),
  ],
)
def test_a_file_that_is_there_answers_what_is_asked_or_not(asked, size, quality, answered):
  header = reading.Header(b"abcd", 100, 100, b"", b"", quality)
  config = bmshj_minnen.ModelConfig(gain_lambdas=(0.01, 0.1))
  assert targets.is_answered(asked, config, header, size) == answered
