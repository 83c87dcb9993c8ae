"""The codec of a model that ships, in ONNX Runtime and NumPy."""

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen import portable
from bmshj_minnen.format.errors import BitstreamError
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.psnr import psnr
from bmshj_minnen.targets import TargetError

pytest.importorskip("onnxruntime")

_VECTORS = pathlib.Path(__file__).parents[1] / "conformance"
_INDEX = json.loads((_VECTORS / "index.json").read_text())
_SHIPPED = {n: m["shipped"] for n, m in _INDEX["models"].items() if "shipped" in m}


@pytest.fixture(scope="module")
def codec():
  return portable.load()


@pytest.fixture(scope="module")
def image():
  """An image [100, 130, 3], smooth, with edges."""
  rows, columns = np.mgrid[:100, :130]
  waves = 127 * np.sin(rows / 9)[..., None] * np.cos(columns[..., None] / (5, 9, 16))
  return np.clip(128 + waves + 40 * (columns > 60)[..., None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", _SHIPPED)
def test_files_of_tensorflow_have_the_same_pixels_within_one_level(name):
  codec = portable.load(_SHIPPED[name])
  entries = [entry for entry in _INDEX["files"] if entry["model"] == name and "pixels" in entry]
  assert entries
  for entry in entries:
    with PIL.Image.open(_VECTORS / entry["pixels"]) as picture:
      expected = np.asarray(picture).astype(int)
    found = codec.decompress((_VECTORS / entry["file"]).read_bytes())
    assert np.abs(found - expected).max() <= 1, entry["file"]


@pytest.mark.parametrize("size", [(1, 1), (1, 100), (100, 1), (16, 16), (17, 33), (100, 130)])
def test_latents_come_back_at_any_size_and_quality(codec, image, size):
  part = image[: size[0], : size[1]]
  for quality in (1, 37.5, 100):
    data, sent = codec.compress_with_latents(part, quality=quality)
    received = codec.latents(data)
    assert received.y_hat.tobytes() == sent.y_hat.tobytes()
    assert received.z_hat.tobytes() == sent.z_hat.tobytes()
    assert codec.decompress(data).shape == part.shape
    assert portable.load_for(data).fingerprint == codec.fingerprint


def test_pictures_get_better_with_the_quality(codec, image):
  qualities = (1, 30, 60, 100)
  files = [data for data, _ in codec.at_qualities(image, qualities)]
  assert files == [codec.compress(image, quality=quality) for quality in qualities]
  assert sorted(map(len, files)) == [*map(len, files)]
  figures = [psnr(image, codec.decompress(data)) for data in files]
  assert sorted(figures) == figures and figures[-1] > figures[0] + 5


def test_targets_are_met(codec, image):
  assert len(codec.compress(image, bytes=900)) <= 900
  assert len(codec.compress(image, bpp=0.6)) <= 0.6 * image.shape[0] * image.shape[1] / 8
  assert psnr(image, codec.decompress(codec.compress(image, psnr=30))) >= 30
  with pytest.raises(TargetError, match="too few"):
    codec.compress(image, bytes=30)
  with pytest.raises(ValueError, match="either a quality or a target"):
    codec.compress(image, quality=3, psnr=30)
  with pytest.raises(ValueError, match="1 to 100"):
    portable.load(quality=101)
  assert portable.load(quality=20).compress(image) == codec.compress(image, quality=20)


def test_tiles_give_files_with_the_same_latents(codec, image):
  large = np.tile(image, (4, 4, 1))
  whole, sent = codec.compress_with_latents(large)
  codec.memory = 1
  try:
    tiled, tiled_sent = codec.compress_with_latents(large)
    assert np.mean(sent.y_hat != tiled_sent.y_hat) < 1e-3
    for data, expected in ((whole, sent), (tiled, tiled_sent)):
      assert codec.latents(data).y_hat.tobytes() == expected.y_hat.tobytes()
    pixels = codec.decompress(whole).astype(int)
  finally:
    codec.memory = 2**30
  assert np.abs(codec.decompress(whole) - pixels).max() <= 1


_PEAKS = """
import pathlib, sys
import numpy as np
from bmshj_minnen import portable

def held(key):
  return 1024 * int(pathlib.Path("/proc/self/status").read_text().split(key)[1].split()[0])

image, memory = np.load(sys.argv[1]), int(sys.argv[2])
argument = image
for name in ("compress", "decompress"):
  codec = portable.load(memory=memory)
  codec.decompress(codec.compress(image[:99, :99]))
  pathlib.Path("/proc/self/clear_refs").write_text("5")
  before = held("VmRSS:")
  argument = getattr(codec, name)(argument)
  print(held("VmHWM:") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_networks_take_about_as_much_memory_as_they_may(image, tmp_path):
  np.save(tmp_path / "image.npy", np.tile(image, (8, 10, 1)))
  memory = 2**27
  done = subprocess.run(
    [sys.executable, "-c", _PEAKS, tmp_path / "image.npy", str(memory)],
    cwd=_VECTORS.parents[1],
    capture_output=True,
    text=True,
  )
  peaks = [int(line) for line in done.stdout.split()]
  # The image has 3.4 MB, and its latents, too; without tiles g_a would take 470 MB.
  assert len(peaks) == 2 and max(peaks) < 1.8 * memory, (peaks, done.stderr)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_processes_have_threads_of_their_own(codec, image):
  data = codec.compress(image)
  context = multiprocessing.get_context("fork")
  answers = context.SimpleQueue()
  process = context.Process(target=lambda: answers.put(codec.compress(image)))
  process.start()
  process.join(60)
  assert process.exitcode == 0 and answers.get() == data


def test_seconds_and_progress_are_told(codec, image):
  seconds, fractions = {}, []
  data = codec.compress(image, seconds, fractions.append)
  assert set(seconds) == {"analysis", "entropy coding", "container"}
  assert sorted(fractions) == fractions and fractions[-1] == 1
  seconds, fractions = {}, []
  codec.decompress(data, seconds, fractions.append)
  assert set(seconds) == {"container", "entropy decoding", "synthesis"}
  assert sorted(fractions) == fractions and fractions[-1] == 1


def test_wrong_input_is_refused(codec, image):
  data = codec.compress(image)
  for bad in (data[:-1], data + b"x", data[:40] + b"\0" + data[41:], b"", b"BMP"):
    with pytest.raises(BitstreamError):
      codec.decompress(bad)
  with pytest.raises(BitstreamError, match="too large"):
    portable.load(max_pixels=9).decompress(data)
  with pytest.raises(BitstreamError, match="another model"):
    portable.load("joint-ms-ssim").decompress(data)
  with pytest.raises(ValueError, match="uint8"):
    codec.compress(image.astype(np.float32))
  for name in ("quality", "bytes", "bpp", "psnr"):
    for wrong in ("30", True):
      with pytest.raises(TypeError, match=f"{name} must be a number, .*, not of type"):
        codec.compress(image, **{name: wrong})
    with pytest.raises(ValueError, match=f"{name} must be "):
      codec.compress(image, **{name: np.nan})
  with pytest.raises(TypeError, match="quality must be a number"):
    portable.load(quality="30")
  for name in ("foo", "pixels"):
    with pytest.raises(TypeError, match=f"no target '{name}': give one of bytes, bpp, psnr, or a"):
      codec.compress(image, **{name: 1})
  with pytest.raises(ValueError, match="max_pixels must be a whole number of at least 1, not 0"):
    portable.load(max_pixels=0)
  assert codec.compress(image, quality=np.float32(30)) == codec.compress(image, quality=30)


@pytest.mark.parametrize("wrong", [-1, 1.5, np.nan, np.inf, "2", None, True])
@pytest.mark.parametrize("name", ["memory", "max_pixels"])
def test_limits_that_are_no_whole_numbers_are_refused_at_once(codec, name, wrong):
  data = codec.compress(np.zeros([1, 1, 3], np.uint8))
  for load in (portable.load, lambda **limit: portable.load_for(data, **limit)):
    with pytest.raises(ValueError, match=f"{name} must be a whole number of at least [01], not"):
      load(**{name: wrong})
  before = getattr(codec, name)
  with pytest.raises(ValueError, match=f"{name} must be a whole number"):
    setattr(codec, name, wrong)
  assert getattr(codec, name) == before


def test_threads_share_a_codec_and_processes_load_it_again(codec, image):
  data = codec.compress(image)
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    assert set(pool.map(codec.compress, [image] * 6)) == {data}
    pictures = list(pool.map(codec.decompress, [data] * 6))
  assert all(picture.tobytes() == pictures[0].tobytes() for picture in pictures)
  packed = pickle.dumps(portable.load(quality=20))
  assert str(catalogue.find("default")).encode() not in packed
  assert pickle.loads(packed).compress(image) == codec.compress(image, quality=20)


def test_a_model_without_graphs_says_what_is_to_be_done(tmp_path):
  (tmp_path / "onnx").mkdir()
  with pytest.raises(ValueError, match="coder.npz"):
    portable.load(tmp_path)
  golden = pathlib.Path(__file__).parents[1] / "golden" / "joint"
  with pytest.raises(ValueError, match="no ONNX graphs: `bmshj-export --format=onnx`"):
    portable.load(golden)
