"""Runs two training workers on 127.0.0.1, kills and restarts one; then compresses photographs.

`python -m experiments.scaling.two_machines --images='kodak/*.png'`
"""

import csv
import glob
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import metrics
from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files
from experiments.scaling import cluster

_IMAGES = flags.DEFINE_string("images", "", "Images to compress; empty: the held-out photograph.")
_TRAIN_GLOB = flags.DEFINE_string("train_glob", "", "Images to train on; empty: bundled ones.")
_NUM_FILTERS = flags.DEFINE_integer("num_filters", 32, "N = M of the joint model.")
_STEPS = flags.DEFINE_integer("steps", 300, "Steps of the whole run.")
_SAVE_EVERY = flags.DEFINE_integer("save_every", 50, "Steps between checkpoints.")
_KILL_AFTER = flags.DEFINE_integer("kill_after", 100, "Steps after which one worker is killed.")


def _start(environment, model_dir):
  command = [sys.executable, "-m", "bmshj_minnen.train", f"--model_dir={model_dir}"]
  command += [f"--num_filters={_NUM_FILTERS.value}", f"--latent_channels={_NUM_FILTERS.value}"]
  command += ["--crop=128", "--learning_rate=1e-3", f"--train_glob={_TRAIN_GLOB.value}"]
  command += [f"--steps={_STEPS.value}", f"--save_every={_SAVE_EVERY.value}"]
  command += ["--strategy=multi_worker"]
  return subprocess.Popen(
    command,
    env={**os.environ, **environment},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )


def _rows(model_dir):
  if not (model_dir / "metrics.csv").exists():
    return []
  with open(model_dir / "metrics.csv") as file:
    return list(csv.DictReader(file))


def _train(model_dir):
  """Runs the training with its interruption."""
  environments = cluster.environments(2)
  workers = [_start(environment, model_dir) for environment in environments]
  try:
    while not any(int(row["step"]) >= _KILL_AFTER.value for row in _rows(model_dir)):
      if any(worker.poll() is not None for worker in workers):
        raise RuntimeError("a worker ended too early")
      time.sleep(0.1)
    workers[1].send_signal(signal.SIGKILL)
    workers[1].wait()
    print(f"worker 1 killed with -9 after step {_rows(model_dir)[-1]['step']}", flush=True)
    workers[1] = _start(environments[1], model_dir)
    print("exit statuses:", [worker.wait() for worker in workers])
  finally:
    for worker in workers:
      worker.kill()
  for row in _rows(model_dir):
    print(f"step {row['step']:>6}  loss {float(row['loss']):.4f}  val {float(row['val_loss']):.4f}")


def _compress(model_dir, folder, pattern):
  """Compresses photographs to files and back, and prints bits and quality."""
  (folder / "in").mkdir()
  for path in glob.glob(pattern) if pattern else finding.held_out_photographs():
    (folder / "in" / pathlib.Path(path).name).symlink_to(os.path.abspath(path))
  for program, source, target in (("compress", "in", "small"), ("decompress", "small", "back")):
    command = [sys.executable, "-m", f"bmshj_minnen.{program}", f"--model={model_dir}"]
    command += [f"--output_dir={folder / target}", str(folder / source)]
    subprocess.run(command, check=True)
  bits, psnrs = [], []
  for path in sorted((folder / "in").iterdir()):
    x = image_files.read_image(str(path))
    x_hat = image_files.read_image(str(folder / "back" / f"{path.stem}.png"))
    size = os.path.getsize(folder / "small" / f"{path.stem}.tfci")
    bits.append(8 * size / (x.shape[0] * x.shape[1]))
    psnrs.append(metrics.psnr(x, x_hat))
  count = len(bits)
  print(f"{count} photographs: {sum(bits) / count:.4f} bpp, {sum(psnrs) / count:.2f} dB")


def main(_):
  """Trains, then compresses."""
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    _train(folder / "model")
    _compress(folder / "model", folder, _IMAGES.value)


if __name__ == "__main__":
  app.run(main)
