"""The shipped models: found by name, ordered by rate, as good as their numbers say."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.coding import bitstream
from bmshj_minnen.command_line import report
from bmshj_minnen.evaluation import classical
from bmshj_minnen.model_files import catalogue, model_directory
from bmshj_minnen.photographs import finding

_MANY_RATES = "joint-mse"


def test_names_and_qualities_count_up_in_rate():
  assert catalogue.names()[-1] == _MANY_RATES
  names = catalogue.names()[:-1]
  assert names == [catalogue.of_quality(i + 1) for i in range(len(names))]
  assert catalogue.find("").name == catalogue.find("default").name == names[len(names) // 2]


def test_a_directory_goes_by_its_path_and_nothing_else_is_found(tmp_path):
  assert catalogue.find(str(tmp_path)) == tmp_path
  with pytest.raises(ValueError, match="joint-mse-1"):
    catalogue.find("joint-mse-99")
  with pytest.raises(ValueError, match="choose one of 1"):
    catalogue.of_quality(0)


def test_the_shipped_models_compress_a_photograph_they_have_not_seen():
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])
  points: dict[str, list[tuple[float, float]]] = {}
  for name, quality in [
    *((name, None) for name in catalogue.names()[:-1]),
    *((_MANY_RATES, quality) for quality in (1, 37, 50, 100)),
  ]:
    codec, model = bmshj_minnen.load(name), bmshj_minnen.load_model(name)
    file, latents = codec.compress_with_latents(image, quality=quality)
    # Files are as large as the float model says, within 1 % and 32 bytes.
    estimate = report.estimated_bits(model, latents) / 8
    assert np.abs(len(file) - estimate) < 0.01 * estimate + 32
    bpp, psnr = 8 * len(file) / image[..., 0].size, metrics.psnr(image, codec.decompress(file))
    points.setdefault("many" if quality else "one", []).append((bpp, psnr))
    quality, jpeg = classical.nearest_in_size("jpeg420", image, len(file))
    jpeg_image = classical.PillowCodec("jpeg420", quality).decompress(jpeg)
    assert psnr > metrics.psnr(image, jpeg_image)
  for bpp, psnr in (zip(*curve) for curve in points.values()):
    assert list(bpp) == sorted(bpp) and list(psnr) == sorted(psnr)


def _file(fingerprint):
  return bitstream.pack(fingerprint, tf.constant(1), tf.constant(1), tf.constant(b"")).numpy()


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
  make, made, loaded = model_directory.Codec, [], []

  def slow(*args):
    time.sleep(0.2)
    made.append(make(*args))
    return made[-1]

  monkeypatch.setattr(model_directory, "Codec", slow)

  def load():
    # Settings that no other test has, or a codec might be there already.
    loaded.append(model_directory.load_for(data, max_pixels=98765))

  threads = [threading.Thread(target=load) for _ in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(made) == 1 and loaded == made * 3
