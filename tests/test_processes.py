"""Codecs in other processes: pickles name their directory, and forks are refused."""

import os
import pickle
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

import bmshj_minnen
from bmshj_minnen.coding.graph_codec import tensorflow_codec
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.model_files.codec_files import read_prior
from bmshj_minnen.runtime import forking
from tests import codecs

# A few small pictures of many codecs: to trace them takes longer.
pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """The folder of the models `joint` and `factorized`."""
  folder = tmp_path_factory.mktemp("models")
  for prior in ("joint", "factorized"):
    codecs.make_codec(prior, folder)
  return folder


def test_a_codec_travels_before_and_after_its_first_use(folder, monkeypatch, tmp_path):
  monkeypatch.chdir(folder)
  codec, image = bmshj_minnen.load("joint", max_pixels=5000), codecs.photograph(50, 70)
  packed = [pickle.dumps(codec)]
  data = codec.compress(image)
  pixels = codec.decompress(data)
  codec.memory = 12345
  packed.append(pickle.dumps(codec))
  monkeypatch.chdir(tmp_path)  # As a worker may be elsewhere.
  for data_of_codec, memory in zip(packed, (bmshj_minnen.load(folder / "joint").memory, 12345)):
    assert len(data_of_codec) < 1000
    again = pickle.loads(data_of_codec)
    assert again.compress(image) == data
    np.testing.assert_array_equal(again.decompress(data), pixels)
    assert (again.max_pixels, again.memory) == (5000, memory)
    assert pickle.dumps(again) == data_of_codec


def test_options_travel_with_a_codec(folder):
  codec = bmshj_minnen.load(folder / "joint", precision="bfloat16", refine=2, lmbda=0.1)
  image = codecs.photograph(40, 40)
  assert pickle.loads(pickle.dumps(codec)).compress(image) == codec.compress(image)
  assert codec.compress(image) != bmshj_minnen.load(folder / "joint").compress(image)


def test_a_shipped_model_travels_by_its_name():
  packed = pickle.dumps(bmshj_minnen.load("default"))
  assert os.path.dirname(bmshj_minnen.__file__).encode() not in packed
  assert pickle.loads(packed).fingerprint == bmshj_minnen.load("default").fingerprint


def test_a_codec_without_a_directory_says_so(folder):
  frozen = read_prior(folder / "joint")
  with np.load(folder / "joint" / "weights.npz") as weights:
    model = model_directory.model_for_coding(frozen.config, dict(weights))
  codec = tensorflow_codec(frozen, model)
  with pytest.raises(TypeError, match="not loaded from a model directory"):
    pickle.dumps(codec)


def test_a_model_that_has_changed_meanwhile_is_refused(folder, tmp_path):
  shutil.copytree(folder / "joint", tmp_path / "model")
  packed = pickle.dumps(bmshj_minnen.load(tmp_path / "model"))
  shutil.copytree(folder / "factorized", tmp_path / "model", dirs_exist_ok=True)
  with pytest.raises(ValueError, match="no longer the one"):
    pickle.loads(packed)
  shutil.rmtree(tmp_path / "model")
  with pytest.raises(ValueError, match="no model .*model: give a directory"):
    pickle.loads(packed)


def _in_fork(function):
  """The message of a function's error in a forked process; empty after a hang, which is killed."""
  read, write = os.pipe()
  pid = os.fork()
  if pid == 0:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20)
    try:
      function()
      os.write(write, b"nothing")
    except BaseException as error:
      os.write(write, f"{type(error).__name__}: {error}".encode())
    finally:
      os._exit(0)
  os.close(write)
  os.waitpid(pid, 0)
  with open(read, "rb") as file:
    return file.read().decode()


def test_a_forked_process_is_told_to_spawn_instead_of_hanging(folder):
  codec, image = bmshj_minnen.load(folder / "joint"), codecs.photograph(20, 30)
  data, of_shipped = codec.compress(image), bmshj_minnen.load("default").compress(image)
  for function in (
    lambda: codec.compress(image),
    lambda: codec.compress_with_latents(image),
    lambda: codec.decompress(data),
    lambda: codec.latents(data),
    lambda: bmshj_minnen.load(folder / "joint"),
    lambda: bmshj_minnen.load_for(of_shipped),
    lambda: bmshj_minnen.load_model(folder / "joint"),
  ):
    words = _in_fork(function)
    assert words.startswith("RuntimeError: ") and 'get_context("spawn")' in words, words
    assert "\n" not in words
  assert codec.compress(image) == data  # The parent continues.


def test_a_fork_before_tensorflow_is_used_is_not_refused(monkeypatch):
  tf.constant(0)
  assert "spawn" in _in_fork(forking.refuse_forked)
  monkeypatch.setattr(context, "_context", None)
  assert _in_fork(forking.refuse_forked) == "nothing"
