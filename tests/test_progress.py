"""What training shows on its way: in TensorBoard, on a terminal and in a file."""

import contextlib
import io
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.training import callbacks


class _Trainer:
  """Reconstructs with an error of 5 levels."""

  averaged = contextlib.nullcontext

  def __init__(self):
    self.optimizer = types.SimpleNamespace(
      iterations=tf.Variable(0, dtype=tf.int64), learning_rate=tf.constant(0.5)
    )

  def __call__(self, images):
    return tf.cast(tf.cast(images, tf.int32) + 5, tf.uint8)


def _scalars(folder):
  """{step: {tag: value}}."""
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
    trainer.optimizer.iterations.assign(1000 + step)  # As of a run that resumed.
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


def _shown(monkeypatch, stream, first_step, last_step, save_every):
  """Lines that are logged of a run whose steps take a second each."""
  lines, clock = [], [0.0]
  monkeypatch.setattr(sys, "stderr", stream)
  monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock[0])
  monkeypatch.setattr(callbacks.logging, "info", lambda text, *values: lines.append(text % values))
  with callbacks.Progress(first_step, last_step) as progress:
    for step in range(first_step + 1, last_step + 1):
      clock[0] += 1.0
      progress.on_train_batch_end(0, {"loss": 2.5, "bpp": 0.75, "distortion": 7.0})
      if step % save_every == 0:
        progress.on_epoch_end(0, {"loss": 2.5, "bpp": 0.75, "val_bpp": 0.5})
  return lines


def test_a_file_gets_a_line_a_block_with_the_time_of_the_whole_run(monkeypatch):
  stream = io.StringIO()
  lines = _shown(monkeypatch, stream, 4000, 4100, 50)
  assert stream.getvalue() == ""
  assert lines == [
    "Step 4010 of 4100, 1 s each, 01:30 left: loss 2.5, bpp 0.75",
    "Step 4050 of 4100, 1 s each, 00:50 left: loss 2.5, bpp 0.75, val_bpp 0.5",
    "Step 4100 of 4100, 1 s each, 00:00 left: loss 2.5, bpp 0.75, val_bpp 0.5",
  ]


def test_a_terminal_gets_a_bar_of_the_whole_run(monkeypatch):
  terminal = _Terminal()
  assert _shown(monkeypatch, terminal, 4000, 4100, 50) == []
  frames = terminal.getvalue().replace("\n", "\r").split("\r")
  frames = [frame for frame in frames if frame.strip()]
  assert "4000/4100" in frames[0] and "4100/4100" in frames[-1]
  assert "bpp 0.75" in frames[-1]
