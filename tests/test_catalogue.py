"""The shipped models: found by name, and better than JPEG at every rate."""

import pickle
import threading
import time

import numpy as np
import pytest

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line import verbose
from bmshj_minnen.data import finding
from bmshj_minnen.evaluation import classical
from bmshj_minnen.format import writing
from bmshj_minnen.model_files import catalogue, model_directory
from tests import codecs


def test_the_default_is_the_model_for_every_rate():
  assert "joint-mse" in catalogue.names()
  assert catalogue.find("").name == catalogue.find("default").name == "joint-mse"


def test_a_directory_goes_by_its_path_and_nothing_else_is_found(tmp_path):
  assert catalogue.find(str(tmp_path)) == tmp_path
  with pytest.raises(ValueError, match="joint-mse"):
    catalogue.find("joint-mse-99")


@pytest.mark.parametrize("name", catalogue.names())
def test_the_shipped_models_compress_a_photograph_they_have_not_seen(name):
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:176, :208]
  codec, model = bmshj_minnen.load(name), bmshj_minnen.load_model(name)
  points = []
  for quality in (1, 37, 100):
    file, latents = codec.compress_with_latents(image, quality=quality)
    # Sizes of files agree with the float model's estimate, within 1 % and 32 bytes.
    estimate = verbose.estimated_bits(model, latents) / 8
    assert np.abs(len(file) - estimate) < 0.01 * estimate + 32
    pixels = codec.decompress(file)
    points.append((len(file), metrics.psnr(image, pixels), metrics.ms_ssim(image, pixels)))
    jpeg_quality, jpeg = classical.nearest_in_size("jpeg420", image, len(file))
    jpeg_image = classical.make("jpeg420", jpeg_quality).decompress(jpeg)
    if name.endswith("ms-ssim"):
      assert points[-1][2] > metrics.ms_ssim(image, jpeg_image)
    else:
      assert points[-1][1] > metrics.psnr(image, jpeg_image)
  assert points == sorted(points)


def test_what_ships_is_known_by_its_fingerprint():
  for name in catalogue.names():
    assert catalogue.name_of(bmshj_minnen.load(name).fingerprint) == name
  assert catalogue.name_of(b"abcd") is None


def test_a_codec_has_the_quality_that_it_is_loaded_with():
  image = codecs.photograph(20, 30)
  codec, plain = bmshj_minnen.load(quality=12.5), bmshj_minnen.load()
  assert codec.compress(image) == plain.compress(image, quality=12.5) != plain.compress(image)
  assert codec.compress(image, quality=70) == plain.compress(image, quality=70)
  assert codec.compress(image, bytes=900) == plain.compress(image, bytes=900)
  copy = pickle.loads(pickle.dumps(codec))
  assert copy.compress(image) == codec.compress(image)
  with pytest.raises(ValueError, match="quality must be 1 to 100"):
    bmshj_minnen.load(quality=101)


def _file(fingerprint):
  return writing.pack(fingerprint, 1, 1, b"")


def test_damage_to_a_fingerprint_is_no_other_model():
  data = _file(b"abcd")
  with pytest.raises(ValueError, match="no shipped model") as caught:
    model_directory.load_for(data)
  assert not isinstance(caught.value, bmshj_minnen.BitstreamError)
  for bit in range(8 * 4, 8 * 8):
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(bmshj_minnen.BitstreamError, match="wrong checksum"):
      model_directory.load_for(bytes(damaged))


def test_threads_that_need_the_same_shipped_codec_share_it(monkeypatch):
  name = catalogue.names()[0]
  data = _file(bmshj_minnen.load(name).fingerprint)
  make, made, loaded = model_directory.tensorflow_codec, [], []

  def slow(*args, **options):
    time.sleep(0.2)
    made.append(make(*args, **options))
    return made[-1]

  monkeypatch.setattr(model_directory, "tensorflow_codec", slow)

  def load():
    # Settings that no other test uses, so that no codec exists already.
    loaded.append(model_directory.load_for(data, max_pixels=98765))

  threads = [threading.Thread(target=load) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(made) == 1 and loaded == made * 3
