"""A researcher's own loss, metric, dataset, schedule and callback, with all that a run has."""

import csv
import importlib.util
import json
import pathlib
import pickle
import re
import sys

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.command_line import own_modules
from bmshj_minnen.data import crops
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.training import failures, inputs, loop, own_parts, schedules, trainer
from tests import codecs, programs, quick_networks

_README = pathlib.Path(__file__).parent.parent / "README.md"
_SMALL = bmshj_minnen.ModelConfig("factorized", 4, 4, networks=quick_networks.NAME)


def _config(folder, **changes):
  settings = {"crop": 64, "batch": 2, "steps": 4, "save_every": 2, "learning_rate": 1e-3}
  return bmshj_minnen.TrainConfig(str(folder / "model"), **{**settings, **changes})


def _rows(folder):
  with open(folder / "model" / "metrics.csv") as file:
    return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def _flags(folder):
  return json.loads((folder / "model" / "train.json").read_text())["flags"]


def _tags(folder):
  return {
    value.tag
    for path in (folder / "model" / "logs").glob("events*")
    for event in tf.compat.v1.train.summary_iterator(str(path))
    for value in event.summary.value
  }


def _photographs(count=6):
  """Batches [2, 64, 64, 3], always in the same order."""
  crops = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)
  return tf.data.Dataset.from_tensor_slices(crops).repeat().batch(2)


def absolute_error(batch):
  """R + λ times the mean absolute error."""
  return batch.bpp + batch.lmbda * tf.reduce_mean(tf.abs(batch.x - batch.x_hat), (1, 2, 3))


@pytest.mark.usefixtures("eagerly")
def test_a_loss_of_ones_own(tmp_path):
  config = _config(tmp_path, average=0.9, lmbda=0.5, steps=1)
  loop.train(_SMALL, config, loss=absolute_error)
  run = trainer.build(_SMALL, config, own_parts.OwnParts(loss=absolute_error))
  x = tf.constant(codecs.photograph(64, 64)[None], tf.float32)
  x_hat, rate = run.model(x, seed=tf.constant([0, 0]))
  found = run.gradient_step(x)
  bits = float(rate.y_bits[0] + rate.z_bits[0])
  expected = bits / 64**2 + 0.5 * np.abs(x - x_hat).mean()
  np.testing.assert_allclose(found.loss, expected, rtol=1e-4)
  np.testing.assert_allclose(found.distortion, np.mean((x - x_hat) ** 2), rtol=1e-4)
  assert _flags(tmp_path)["own_loss"] == "tests.test_own_parts.absolute_error"
  # Refinement would minimize R + λD with this λ, which belongs to another loss.
  with pytest.raises(ValueError, match="give --lambda"):
    bmshj_minnen.load(tmp_path / "model", refine=1)
  assert bmshj_minnen.load(tmp_path / "model", refine=1, lmbda=0.01)


def largest_error(batch):
  """The largest error of each photograph; none for a crop that is not there."""
  return tf.reduce_max(tf.abs(batch.x - batch.x_hat), (1, 2, 3))


@pytest.mark.usefixtures("eagerly")
def test_a_metric_of_ones_own_gets_into_the_table_and_tensorboard(tmp_path):
  metrics = {"largest": largest_error, "never": lambda batch: batch.bpp * np.nan}
  loop.train(_SMALL, _config(tmp_path, steps=1), metrics=metrics)
  assert all(0 < row["val_largest"] < 300 and np.isnan(row["val_never"]) for row in _rows(tmp_path))
  assert "val_largest" in _tags(tmp_path) and "largest" not in _tags(tmp_path)
  with pytest.raises(ValueError, match="bpp is a loss"):
    loop.train(_SMALL, _config(tmp_path / "b"), metrics={"bpp": largest_error})


@pytest.mark.usefixtures("eagerly")
def test_a_dataset_of_ones_own_resumes_where_it_stopped(tmp_path):
  own = {"dataset": _photographs(), "schedule": lambda step: 1e-2 / (step + 1)}
  every_step = {"save_every": 1, "warmup": 3}
  for steps in (1, 2):
    loop.train(_SMALL, _config(tmp_path, steps=steps, **every_step), **own)
  own["dataset"] = lambda first_step: _photographs().skip(first_step)
  loop.train(_SMALL, _config(tmp_path / "whole", steps=2, **every_step), **own)
  resumed, whole = ([row["loss"] for row in _rows(path)] for path in (tmp_path, tmp_path / "whole"))
  np.testing.assert_allclose(resumed, whole, rtol=1e-5)
  assert resumed[0] != resumed[1]
  # The rates of steps 0 and 1.
  rates = [row["learning_rate"] for row in _rows(tmp_path)]
  np.testing.assert_allclose(rates, [1e-2 / 1 * 1 / 3, 1e-2 / 2 * 2 / 3], rtol=1e-5)
  assert _flags(tmp_path)["own_dataset"].startswith("tensorflow.")
  with pytest.raises(ValueError, match="of your own, leave out"):
    loop.train(_SMALL, _config(tmp_path / "b", train_glob="*.png"), dataset=_photographs())
  with pytest.raises(ValueError, match=r"batches of photographs \[B, H, W, 3\]"):
    loop.train(_SMALL, _config(tmp_path / "b"), dataset=_photographs().unbatch())
  with pytest.raises(failures.TrainingError, match="ended before step 4: .*repeat"):
    loop.train(_SMALL, _config(tmp_path / "c"), dataset=lambda step: _photographs().take(3))


class _Stop(tf.keras.callbacks.Callback):
  """Adds a number to the logs of an epoch, and ends the run at step 2."""

  def on_epoch_end(self, epoch, logs=None):
    logs["norm"] = float(tf.linalg.global_norm(self.model.model.trainable_variables))
    self.model.stop_training = int(self.model.optimizer.iterations) >= 2


@pytest.mark.usefixtures("eagerly")
def test_callbacks_of_ones_own_add_columns_and_end_the_run(tmp_path):
  loop.train(_SMALL, _config(tmp_path, steps=9, save_every=1), callbacks=[_Stop()])
  assert [row["step"] for row in _rows(tmp_path)] == [1, 2]
  assert all(row["norm"] > 0 for row in _rows(tmp_path)) and "norm" in _tags(tmp_path)


def test_warmup_and_schedules_of_ones_own(tmp_path):
  def rates(own=None, **changes):
    rate = schedules.learning_rate(_config(tmp_path, steps=100, **changes), own)
    return [float(rate(tf.constant(step, tf.int64))) for step in (0, 4, 9, 10, 79, 99)]

  ramp = [0.1, 0.5, 1, 1]
  step = [1e-3 * share for share in (*ramp, 1, 0.1)]
  np.testing.assert_allclose(rates(warmup=10), step, rtol=1e-5)
  cosine = rates(schedule="cosine")
  warm = [rate * share for rate, share in zip(cosine, (*ramp, 1, 1))]
  np.testing.assert_allclose(rates(schedule="cosine", warmup=10), warm, rtol=1e-5)
  constant = [1e-3 * share for share in (*ramp, 1, 1)]
  np.testing.assert_allclose(rates(schedule="constant", warmup=10), constant, rtol=1e-5)
  root = rates(lambda step: 1e-2 / tf.sqrt(step + 1), warmup=10)
  expected = [1e-2 / np.sqrt(s + 1) * min(1, (s + 1) / 10) for s in (0, 4, 9, 10, 79, 99)]
  np.testing.assert_allclose(root, expected, rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_each_nth_validation_codes_a_file_beside_the_estimate(tmp_path):
  model = bmshj_minnen.ModelConfig("joint", 4, 6, gain_lambdas=(0.01, 0.1))
  loop.train(model, _config(tmp_path, steps=2, save_every=1, file_every=2, average=0.5))
  rows = _rows(tmp_path)
  assert ["file_bpp" in row for row in rows] == [False, True]
  # The last file is that of the saved model, for the first held-out crop.
  crop = next(iter(_held_out(tmp_path)))[0].numpy()
  codec = bmshj_minnen.load(tmp_path / "model")
  data, decoded = codec.compress(crop), codec.decompress(codec.compress(crop))
  assert rows[-1]["file_bpp"] == pytest.approx(8 * len(data) / 64**2, rel=0.02)
  psnr = 10 * np.log10(255**2 / np.mean((crop.astype(float) - decoded) ** 2))
  assert rows[-1]["file_psnr"] == pytest.approx(psnr, abs=0.02)
  estimate = bmshj_minnen.load_model(tmp_path / "model").forward_rounded(crop[None])[1]
  bits = float(estimate.y_bits[0] + estimate.z_bits[0])
  assert rows[-1]["file_estimated_bpp"] == pytest.approx(bits / 64**2, rel=0.02)
  assert {"file_psnr", "file_estimated_psnr"} <= _tags(tmp_path)


def _held_out(folder):
  return crops.validation_crops(inputs.find_validation(_config(folder)).paths, 64, 2)


_MODULE = """
import tensorflow as tf
from bmshj_minnen import layers
from bmshj_minnen.layers import quantizers

@layers.register("of a file")
class Patches(layers.Networks):
  def g_a(self):
    return tf.keras.layers.Conv2D(self.config.latent_channels, 16, 16, "same")
  def g_s(self):
    return tf.keras.layers.Conv2DTranspose(3, 16, 16, "same")

@quantizers.register("half noise")
def half(seed):
  noise = quantizers.additive_noise(seed, 0)
  return lambda y, mean_of=None: (y + noise(y)) / 2, noise
"""


def test_registered_parts_from_a_shell(tmp_path):
  (tmp_path / "my_parts.py").write_text(_MODULE)
  bmshj_minnen.write_image(str(tmp_path / "photo.png"), codecs.photograph(40, 50))
  small = ["--num_filters=4", "--latent_channels=6", "--crop=64", "--batch=1", "--steps=2"]
  flags = ["--networks=of a file", "--quantizer=half noise", "--context_support=3", "--warmup=1"]
  for program, *args in (
    ("train", *small, *flags, "--model_dir=model", "--import=my_parts"),
    ("compress", "--model=model", "--import=my_parts", "photo.png", "photo.tfci"),
    ("decompress", "--model=model", "--import=my_parts", "photo.tfci", "back.png"),
  ):
    result = programs.run(program, *args, cwd=tmp_path, eager=True)
    assert result.returncode == 0, result.stderr
  fields = json.loads((tmp_path / "model" / "config.json").read_text())
  assert fields["networks"] == "of a file" and fields["context_support"] == 3
  assert bmshj_minnen.read_image(tmp_path / "back.png").shape == (40, 50, 3)
  for flag, match in (
    ("--jobs=1", "networks 'of a file'.*--import=MODULE"),
    ("--import=no", "no "),
  ):
    args = ("--model=model", flag, "photo.png", "b.tfci")
    result = programs.run("compress", *args, cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert re.search(match, result.stderr)
  if importlib.util.find_spec("apache_beam"):
    _check_in_a_worker(tmp_path)


@pytest.mark.parametrize(
  ("code", "reason"),
  [
    ("x = 1\n1 / 0", r"ZeroDivisionError: division by zero \(.*/wrong_parts.py, line 2\)"),
    ("def f(:", r"invalid syntax \(.*/wrong_parts.py, line 1\)"),
    ("import no_such_module", "No module named 'no_such_module'"),
    ("raise OSError(2, 'gone', 'file')", r"OSError|FileNotFoundError: .*gone"),
    ("raise SystemExit(3)", "it ends the program"),
    ("class E(Exception): pass\nraise E('x\\ny')", r"E: x\ny"),
  ],
)
def test_errors_within_own_modules_name_them(code, reason, tmp_path, monkeypatch):
  (tmp_path / "wrong_parts.py").write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delitem(sys.modules, "wrong_parts", raising=False)
  with pytest.raises(ValueError, match=f"^wrong_parts cannot be imported: {reason}"):
    own_modules.import_all(["wrong_parts"])


def test_odd_names_of_own_modules_are_named():
  for name in ("", ".", "..x", "a..b", "no/such"):
    with pytest.raises(ValueError, match=f"^{re.escape(name)} cannot be imported: "):
      own_modules.import_all([name])


def _check_in_a_worker(folder):
  """A worker of Beam is another process, which gets the task alone."""
  from bmshj_minnen.corpus import tasks

  script = "import pickle, sys\nprint(pickle.load(sys.stdin.buffer).load())"
  for task, modules, returncode in (
    (tasks.Compression, ("my_parts",), 0),
    (tasks.Decompression, (), 1),
  ):
    content = pickle.dumps(task("model", imports=modules))
    result = programs.run(script, cwd=folder, input=content)
    assert result.returncode == returncode, result.stderr
  assert "--import=MODULE" in result.stderr


@pytest.mark.usefixtures("eagerly")
def test_the_example_of_the_readme(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "photos").mkdir()
  for name in "ab":
    bmshj_minnen.write_image(str(tmp_path / "photos" / f"{name}.png"), codecs.photograph(70, 80))
  examples = re.findall(r"```python\n(.*?)```", _README.read_text(), re.DOTALL)
  (example,) = (text for text in examples if "loss=absolute" in text)
  small = {
    "128, 192": "4, 6",
    "steps=100_000": "steps=2, crop=64, save_every=1",
    "256, 256": "64, 64",
  }
  for text, replacement in small.items():
    assert text in example
    example = example.replace(text, replacement)
  exec(example, {"__name__": "my_training"})
  with open("models/absolute/metrics.csv") as file:
    assert [float(row["val_largest"]) > 0 for row in csv.DictReader(file)] == [True, True]
  flags = json.loads((tmp_path / "models/absolute/train.json").read_text())["flags"]
  assert flags["own_loss"] == "my_training.absolute" and flags["warmup"] == 1000
  assert "EarlyStopping" in flags["own_callbacks"][0]


def test_a_model_is_saved_where_a_string_says(tiny_model, tmp_path):
  folder = str(tmp_path / "saved")
  model_directory.save(tiny_model("factorized"), folder, tf.zeros([1, 64, 64, 3]))
  assert bmshj_minnen.load(folder).fingerprint
