"""Progress of training: in TensorBoard, on a terminal and in a file."""

import contextlib
import io
import re
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.training import callbacks, progress
from tests import programs


class _Trainer:
  """A trainer whose reconstructions have an error of 5 levels."""

  averaged = contextlib.nullcontext
  learning_rate = 0.5

  def __init__(self):
    self.optimizer = types.SimpleNamespace(iterations=tf.Variable(0, dtype=tf.int64))

  def __call__(self, images):
    return tf.cast(tf.cast(images, tf.int32) + 5, tf.uint8)


def _scalars(folder):
  """The logged scalars: {step: {tag: value}}."""
  found = {}
  for path in folder.glob("events*"):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == "scalars":
          found.setdefault(event.step, {})[value.tag] = float(tf.make_ndarray(value.tensor))
  return found


@pytest.mark.parametrize("side", [64, 192])
def test_the_board_has_numbers_soon_and_often(side, tmp_path):
  generator = np.random.default_rng(0)
  images = generator.integers(0, 200, (5, side, side, 3)).astype(np.uint8)
  board = callbacks.Board(tmp_path, tf.data.Dataset.from_tensors(images))
  trainer = _Trainer()
  board.set_model(trainer)
  for step in range(1, 251):
    trainer.optimizer.iterations.assign(1000 + step)  # Like a resumed run.
    board.on_train_batch_end(0, {"loss": float(step), "bpp": 0.5})
  board.on_epoch_end(0, {"loss": 9.0, "val_loss": 8.0})
  found = _scalars(tmp_path)
  assert sorted(found) == [1010, 1100, 1200, 1250]
  assert found[1100] == {"loss": 100.0, "bpp": 0.5, "learning_rate": 0.5}
  for step in (1010, 1250):
    assert found[step]["psnr"] == pytest.approx(10 * np.log10(255**2 / 25))
    assert found[step]["learning_rate"] == 0.5
    assert ("ms_ssim" in found[step]) == (side == 192)
  assert found[1250]["val_loss"] == 8.0
  if side == 192:
    expected = tf.image.ssim_multiscale(images[:4], images[:4] + 5, 255)
    assert found[1010]["ms_ssim"] == pytest.approx(float(tf.reduce_mean(expected)), abs=1e-4)


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def _shown(monkeypatch, stream, first_step, last_step, save_every, seconds=1.0, tracing=0.0):
  """The logged lines of a run with this number of seconds per step, and for tracing the first."""
  lines, clock = [], [0.0]
  monkeypatch.setattr(sys, "stderr", stream)
  monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
  monkeypatch.setattr(progress.logging, "info", lambda text, *values: lines.append(text % values))
  with progress.ProgressCallback(first_step, last_step, "mse") as shown:
    clock[0] += tracing
    for step in range(first_step + 1, last_step + 1):
      clock[0] += seconds
      shown.on_train_batch_end(0, {"loss": 2.5, "bpp": 0.75, "distortion": 65.025})
      if step % save_every == 0:
        logs = {"loss": 2.5, "bpp": 0.75, "distortion": 65.025}
        shown.on_epoch_end(0, {**logs, "val_bpp": 0.5, "val_distortion": 6.5025})
  return lines


def test_a_file_gets_a_line_a_block_with_the_time_of_the_whole_run(monkeypatch):
  stream = io.StringIO()
  lines = _shown(monkeypatch, stream, 4000, 4100, 50, tracing=30.0)
  assert stream.getvalue() == ""
  # 10 log10(255^2 / 65.025) = 30.
  assert lines == [
    "Step 4010 of 4100, 1 s each, 01:30 left: loss 2.5, bpp 0.75, psnr 30.00",
    "Step 4050 of 4100, 1 s each, 00:50 left: loss 2.5, bpp 0.75, psnr 30.00, "
    "val_bpp 0.5, val_psnr 40.00",
    "Step 4100 of 4100, 1 s each, 00:00 left: loss 2.5, bpp 0.75, psnr 30.00, "
    "val_bpp 0.5, val_psnr 40.00",
  ]


def test_long_blocks_get_a_line_a_minute(monkeypatch):
  lines = _shown(monkeypatch, io.StringIO(), 0, 20, 100, seconds=15.0)
  assert [line.split()[1] for line in lines] == ["4", "8", "10", "14", "18"]


def test_a_terminal_gets_a_bar_of_the_whole_run(monkeypatch):
  terminal = _Terminal()
  assert _shown(monkeypatch, terminal, 4000, 4100, 50) == []
  frames = terminal.getvalue().replace("\n", "\r").split("\r")
  frames = [frame for frame in frames if frame.strip()]
  assert "4000/4100" in frames[0] and "4100/4100" in frames[-1]
  assert "bpp 0.75, psnr 30.00" in frames[-1]


def test_pictures_are_judged_by_the_distortion_of_the_run(monkeypatch):
  monkeypatch.setattr(sys, "stderr", io.StringIO())
  with progress.ProgressCallback(0, 1, "ms_ssim") as shown:
    assert shown._numbers({"distortion": 0.05, "val_distortion": 0.04}) == (
      "ms_ssim 0.9500, val_ms_ssim 0.9600"
    )


_FROM_PYTHON = """
import sys
from absl import logging
import bmshj_minnen
from bmshj_minnen.training import loop

settings = {"steps": 1, "crop": 64, "batch": 2, "save_every": 1}
model = bmshj_minnen.ModelConfig("factorized", 4, 4)
if sys.argv[2:] == ["less"]:
  logging.set_verbosity("error")
before = logging.get_verbosity()
loop.train(model, bmshj_minnen.TrainConfig(sys.argv[1], **settings))
assert logging.get_verbosity() == before
"""


def test_python_shows_what_the_program_shows(tmp_path):
  flags = ["--prior=factorized", "--num_filters=4", "--latent_channels=4", "--steps=1"]
  flags += ["--crop=64", "--batch=2", "--save_every=1", f"--model_dir={tmp_path}/program"]
  by_program = programs.run("train", *flags, eager=True)
  by_python = programs.run(_FROM_PYTHON, tmp_path / "python", eager=True)
  lines = [_without_times(result.stderr) for result in (by_program, by_python)]
  assert lines[0] == lines[1]
  steps = [line for line in lines[0] if line.startswith("Step ")]
  assert [line.split(":")[0] for line in steps] == ["Step 1 of 1"]
  for name in ("loss", "bpp", "psnr", "val_loss", "val_bpp", "val_psnr"):
    assert all(f" {name} " in line for line in steps), name
  less = programs.run(_FROM_PYTHON, tmp_path / "python", "less")
  assert (less.returncode, less.stdout, less.stderr) == (0, "", "")


def _without_times(text):
  lines = (re.sub(r"^([IW]\d{4} .*?\] |INFO:absl:)", "", line) for line in text.splitlines())
  return [re.sub(r", \S+ s each, \S+ left", "", line) for line in lines]
