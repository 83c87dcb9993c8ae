"""Several devices and machines take the same steps as one."""

import csv
import json
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.data import finding
from bmshj_minnen.training import distribution
from bmshj_minnen.training.muon import Muon
from experiments.reliability import local_cluster as cluster
from tests import programs, quick_networks

_FLAGS = ["--num_filters=4", "--latent_channels=4", "--crop=64", "--batch=4", "--steps=6"]
_FLAGS += ["--save_every=2", "--learning_rate=1e-3", "--prior=factorized"]
# Some gradients of these steps exceed the bound and some do not, so that their scale matters.
_FLAGS += ["--clip_norm=300"]
# Each process traces its step.
_FLAGS += [f"--import={quick_networks.__name__}", f"--networks={quick_networks.NAME}"]
_FLAGS += [f"--train_glob={finding.bundled_photographs()[0]}"]


def _start(model_dir, *flags, eager=False, **environment):
  args = [*_FLAGS, f"--model_dir={model_dir}", *flags]
  return programs.start("train", *args, environment=environment, eager=eager)


def _losses(model_dir):
  with open(model_dir / "metrics.csv") as file:
    return [[float(row[n]) for n in ("step", "loss", "val_loss")] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
  folder = tmp_path_factory.mktemp("one_device")
  assert _start(folder, eager=True).wait() == 0
  return folder


def test_two_machines_one_of_them_killed_train_like_one_device(one_device, tmp_path):
  tasks = cluster.environments(2)

  def start(index, eager):
    return _start(tmp_path, "--strategy=multi_worker", eager=eager, **tasks[index])

  # The first machine starts itself again, in a new process, which takes the rest in a graph.
  workers = [start(0, eager=True), start(1, eager=True)]
  try:
    while not (tmp_path / "metrics.csv").exists():
      assert all(worker.poll() is None for worker in workers)
      time.sleep(0.05)
    workers[1].send_signal(signal.SIGKILL)
    workers[1].wait()
    assert len(_losses(tmp_path)) < 3
    workers[1] = start(1, eager=False)
    assert all(worker.wait(600) == 0 for worker in workers)
  finally:
    for worker in workers:
      worker.kill()
  np.testing.assert_allclose(_losses(tmp_path), _losses(one_device), rtol=1e-5)
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:50, :70]
  assert bmshj_minnen.load(tmp_path).compress(image)


_TWO_DEVICES = """
import sys
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
devices = ["CPU:0", "CPU:1"]
"""
_TRAIN = """
from bmshj_minnen import train
from bmshj_minnen.training import distribution
distribution.make_strategy = lambda config: tf.distribute.MirroredStrategy(devices)
train.run()
"""
_MUON = """
from bmshj_minnen.training.muon import Muon
gradient = np.load(sys.argv[1])
strategy = tf.distribute.MirroredStrategy(devices)
with strategy.scope():
  kernel = tf.Variable(tf.zeros(gradient.shape), name="kernel_real")
  optimizer = Muon(0.01)
  optimizer.build([kernel])

@tf.function
def step():
  optimizer.apply_gradients([(tf.constant(gradient) / 2, kernel)])

strategy.run(step)
np.save(sys.argv[1], [value.numpy() for value in kernel.values])
"""


def _run_on_two_devices(program, *arguments):
  assert programs.start(_TWO_DEVICES + program, *arguments).wait() == 0


def test_two_devices_of_a_machine_train_like_one(one_device, tmp_path):
  _run_on_two_devices(_TRAIN, *_FLAGS, f"--model_dir={tmp_path}", "--strategy=mirrored")
  np.testing.assert_allclose(_losses(tmp_path), _losses(one_device), rtol=1e-5)
  assert json.loads((tmp_path / "train.json").read_text())["devices"] == 2


def test_muon_moves_the_kernels_of_two_devices_as_that_of_one(tmp_path):
  gradient = np.random.default_rng(0).normal(size=(4, 6, 5, 3)).astype(np.float32)
  kernel, optimizer = tf.Variable(tf.zeros(gradient.shape), name="kernel_real"), Muon(0.01)
  optimizer.build([kernel])
  optimizer.apply_gradients([(tf.constant(gradient), kernel)])
  np.save(tmp_path / "kernel.npy", gradient)
  _run_on_two_devices(_MUON, tmp_path / "kernel.npy")
  for moved in np.load(tmp_path / "kernel.npy"):
    np.testing.assert_allclose(moved, kernel, rtol=1e-4, atol=1e-6)


def test_a_batch_must_divide_among_the_devices():
  class Three:
    num_replicas_in_sync = 3

  with pytest.raises(ValueError, match="8 cannot be divided among 3"):
    distribution.check_batch(Three(), 8)
