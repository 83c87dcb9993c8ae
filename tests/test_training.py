"""Training: it learns, is reproducible, resumes, and stops with one line when it diverges."""

import csv
import dataclasses
import json
import math
import pathlib
import shutil
import signal

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import config, layers
from bmshj_minnen.data import finding
from bmshj_minnen.model_files import model_directory, weights
from bmshj_minnen.training import (
  callbacks,
  checkpoints,
  failures,
  loop,
  run_directory,
  schedules,
  train_config,
  trainer,
)
from tests import execution

_MODEL = bmshj_minnen.ModelConfig(num_filters=8, latent_channels=12)
# For tests that do not depend on the prior; its step is traced in a third of the time.
_SMALL = bmshj_minnen.ModelConfig("factorized", num_filters=8, latent_channels=12)

# Its rate is the one of the first steps of longer runs, too.
_SHORT = {"steps": 2, "schedule": "constant"}

# For tests of the files of a run, and of its ends.
eagerly = pytest.mark.usefixtures("eagerly")


def _config(folder, **changes):
  base = bmshj_minnen.TrainConfig(
    model_dir=str(folder / "model"), crop=64, batch=2, steps=4, save_every=2, learning_rate=1e-3
  )
  return dataclasses.replace(base, **changes)


def _rows(folder):
  with open(folder / "model" / "metrics.csv") as file:
    return list(csv.DictReader(file))


def _losses(folder):
  return [(int(row["step"]), float(row["loss"]), float(row["val_loss"])) for row in _rows(folder)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """(model, **changes) -> the folder of a finished run, which no test may write to."""
  folders = {}

  def get(model=_MODEL, **changes):
    key = (model, *sorted(changes.items()))
    if key not in folders:
      folder = tmp_path_factory.mktemp("trained")
      loop.train(model, _config(folder, **changes))
      folders[key] = folder
    return folders[key]

  return get


@pytest.fixture
def copy_trained(trained, tmp_path):
  """(model, **changes) -> `tmp_path` with a copy of the finished run."""

  def get(model=_MODEL, **changes):
    shutil.copytree(trained(model, **changes), tmp_path, dirs_exist_ok=True)
    return tmp_path

  return get


@eagerly
@pytest.mark.parametrize("prior", config.PRIORS)
def test_every_prior_trains_to_a_model_that_codes(prior, trained):
  directory = trained(dataclasses.replace(_MODEL, prior=prior), **_SHORT) / "model"
  codec = bmshj_minnen.load(directory)
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:50, :70]
  assert codec.decompress(codec.compress(image)).shape == image.shape


# It has all parts of the joint prior but the context, and its step is traced sooner.
_LONG_MODEL = dataclasses.replace(_MODEL, prior="mean_scale_hyperprior")
_LONG = {"steps": 60, "save_every": 30, "batch": 4}


def test_the_loss_falls(trained):
  first, second = _losses(trained(_LONG_MODEL, **_LONG))
  assert second[2] < 0.5 * first[2]


@eagerly
def test_a_run_leaves_its_record(trained):
  folder = trained(_SMALL) / "model"
  record = json.loads((folder / "train.json").read_text())
  assert record["flags"]["lmbda"] == 0.01 and record["flags"]["crop"] == 64
  assert record["versions"]["tensorflow"].startswith("2.14")
  assert record["train"] == sorted(finding.bundled_photographs())
  assert not set(record["train"]) & set(record["validation"])
  assert [step for step, _, _ in _losses(trained(_SMALL))] == [2, 4]
  events = list((folder / "logs").glob("events*"))
  tags = {
    value.tag
    for path in events
    for event in tf.compat.v1.train.summary_iterator(str(path))
    for value in event.summary.value
  }
  assert {"loss", "val_bpp"} <= tags
  assert any(tag.startswith("reconstruction") for tag in tags)


def test_same_seed_same_losses_and_resuming_repeats_an_uninterrupted_run(copy_trained, tmp_path):
  runs = {"resumed": tmp_path, "whole": tmp_path / "whole", "seed": tmp_path / "seed"}
  model = dataclasses.replace(_SMALL, prior="scale_hyperprior")  # Both latents get noise.
  with execution.eagerly():
    loop.train(model, _config(runs["seed"], schedule="constant", seed=1, steps=2))
    loop.train(model, _config(runs["whole"], schedule="constant"))
    # A separate run up to step 2, then as after `kill -9`: only its files are left.
    copy_trained(model, **_SHORT)
  # The rest in a graph, whose noise must be the same.
  loop.train(model, _config(runs["resumed"], schedule="constant"))
  whole = _losses(runs["whole"])
  assert [step for step, _, _ in whole] == [2, 4]
  np.testing.assert_allclose(_losses(runs["resumed"]), whole, rtol=1e-4)
  assert abs(_losses(runs["seed"])[0][1] / whole[0][1] - 1) > 1e-3


@eagerly
def test_ctrl_c_leaves_a_model_and_the_run_goes_on(tmp_path, monkeypatch):
  def interrupt(self, batch, logs=None):
    if int(self.model.optimizer.iterations) == 3:
      raise KeyboardInterrupt

  guard_end = callbacks.Guard.on_train_batch_end
  monkeypatch.setattr(callbacks.Guard, "on_train_batch_end", interrupt)
  with pytest.raises(KeyboardInterrupt):
    loop.train(_SMALL, _config(tmp_path, steps=6, save_every=4))
  assert bmshj_minnen.load(tmp_path / "model").compress(np.zeros((8, 8, 3), np.uint8))
  monkeypatch.setattr(callbacks.Guard, "on_train_batch_end", guard_end)
  loop.train(_SMALL, _config(tmp_path, steps=6, save_every=4))
  assert [step for step, _, _ in _losses(tmp_path)] == [4, 6]


@eagerly
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_during_a_validation_ends_the_run_after_its_row(tmp_path, monkeypatch):
  def interrupt(self, batch, logs=None):
    if self._checkpoints.step == 4:
      monkeypatch.undo()
      signal.raise_signal(signal.SIGINT)

  monkeypatch.setattr(callbacks.Record, "on_test_batch_begin", interrupt)
  config = _config(tmp_path, steps=8, save_every=4)
  with pytest.raises(KeyboardInterrupt):
    loop.train(_SMALL, config)
  assert [step for step, _, _ in _losses(tmp_path)] == [4]
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
  loop.train(_SMALL, config)
  assert [step for step, _, _ in _losses(tmp_path)] == [4, 8]


@eagerly
def test_a_finished_run_says_so_and_keeps_its_weights(copy_trained, tmp_path):
  directory = copy_trained(_SMALL) / "model"
  before = bmshj_minnen.load(directory).fingerprint
  record = (directory / "train.json").read_text()
  loop.train(_SMALL, _config(tmp_path, lmbda=0.5))
  assert bmshj_minnen.load(directory).fingerprint == before
  assert len(_losses(tmp_path)) == 2
  assert (directory / "train.json").read_text() == record


def test_a_record_keeps_the_flags_of_earlier_runs(tmp_path):
  runs = [_config(tmp_path, lmbda=lmbda) for lmbda in (0.1, 0.1, 0.2, 0.3)]
  for run in runs:
    run_directory.write_record(tmp_path, _MODEL, run)
  record = json.loads((tmp_path / "train.json").read_text())
  assert record["flags"]["lmbda"] == 0.3
  assert [flags["lmbda"] for flags in record["earlier_flags"]] == [0.1, 0.2]


def test_a_model_without_a_checkpoint_is_not_overwritten(tiny_model, tmp_path):
  model = tiny_model("factorized")
  config_ = _config(tmp_path)
  directory = pathlib.Path(config_.model_dir)
  model_directory.save(model, directory, tf.zeros([1, 64, 64, 3]))
  before = (directory / "weights.npz").read_bytes()
  with pytest.raises(ValueError, match="no checkpoint to go on from: give --init_from="):
    loop.train(model.config, config_)
  assert (directory / "weights.npz").read_bytes() == before


@eagerly
def test_a_collapsed_rate_stops(tmp_path, monkeypatch):
  monkeypatch.setattr(callbacks, "_COLLAPSED_BPP", 1e9)
  monkeypatch.setattr(callbacks, "_WINDOW", 3)
  with pytest.raises(failures.TrainingError, match="step 3: .* raise --lambda"):
    loop.train(_SMALL, _config(tmp_path))


@eagerly
def test_init_from_starts_from_other_weights(trained, tmp_path):
  first = trained(_SMALL, **_SHORT) / "model"
  second = loop.train(
    _SMALL, _config(tmp_path / "b", steps=1, learning_rate=1e-12, init_from=str(first), lmbda=0.1)
  )
  image = tf.constant(np.full((1, 64, 64, 3), 99, np.uint8))
  a, b = (model_directory.load_model(folder).analysis(image) for folder in (first, second))
  np.testing.assert_allclose(a, b, atol=1e-3)


@eagerly
def test_ms_ssim_fine_tuning_runs(trained, tmp_path):
  first = trained(_SMALL, **_SHORT) / "model"
  settings = {"distortion": "ms_ssim", "lmbda": 8.73, "crop": 192, "init_from": str(first)}
  loop.train(_SMALL, _config(tmp_path / "b", steps=1, **settings))
  assert 0 < float(_rows(tmp_path / "b")[0]["distortion"]) < 1


@pytest.mark.parametrize("schedule", train_config.SCHEDULES)
def test_schedules(schedule, tmp_path):
  rate = schedules.learning_rate(_config(tmp_path, schedule=schedule, steps=100))
  rates = [rate if schedule == "constant" else float(rate(step)) for step in (0, 79, 81, 100)]
  expected = {
    "constant": [1e-3] * 4,
    "step": [1e-3, 1e-3, 1e-4, 1e-4],
    "cosine": [1e-5 + 0.495e-3 * (1 + np.cos(np.pi * t)) for t in (0, 0.79, 0.81, 1)],
  }
  np.testing.assert_allclose(rates, expected[schedule], rtol=1e-4)


@eagerly
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_follows_single_precision_and_leaves_no_trace(policy, trained, tmp_path):
  loop.train(_MODEL, _config(tmp_path, precision_policy=policy, **_SHORT))
  assert tf.keras.mixed_precision.global_policy().name == "float32"
  losses, single = _losses(tmp_path), _losses(trained(**_SHORT))
  assert tf.keras.mixed_precision.global_policy().name == "float32"
  np.testing.assert_allclose(losses, single, rtol=0.05)
  assert losses != single


def test_gdn_is_float32_whatever_the_convolutions_are():
  model = trainer.build(_MODEL, _config(pathlib.Path(), precision_policy="mixed_float16")).model
  types = [(layer.compute_dtype, layer.activation.compute_dtype) for layer in model.g_a.layers[:3]]
  assert types == [("float16", "float32")] * 3


@eagerly
def test_the_average_of_the_weights_is_what_is_validated_and_saved(tmp_path):
  momentum = 0.6
  config_ = _config(tmp_path, average=momentum)
  run = trainer.build(_MODEL, config_)
  x = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
  average = [variable.numpy() for variable in run.model.trainable_variables]
  for _ in range(3):
    run.gradient_step(x)
    last = [variable.numpy() for variable in run.model.trainable_variables]
    average = [momentum * a + (1 - momentum) * v for a, v in zip(average, last)]
  saved = checkpoints.Checkpoints(run, tmp_path / "model", x)
  saved.save()
  for variable, value in zip(run.model.trainable_variables, last):
    np.testing.assert_array_equal(variable, value)  # Training continues from the last weights.
  found = weights.to_arrays(bmshj_minnen.load_model(tmp_path / "model"))
  for variable, value in zip(run.model.trainable_variables, average):
    variable.assign(value)
  for name, value in weights.to_arrays(run.model).items():
    np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6)
  for variable, value in zip(run.model.trainable_variables, last):
    variable.assign(value)
  expected = trainer.build(_MODEL, _config(tmp_path, init_from=str(tmp_path / "model")))
  expected.load_initial_weights()
  kept = tf.data.Dataset.from_tensors(x)
  np.testing.assert_allclose(
    run.evaluate(kept, verbose=0), expected.evaluate(kept, verbose=0), rtol=1e-3
  )


@eagerly
def test_an_average_survives_interruptions(tmp_path):
  for steps in (2, 4):
    loop.train(_SMALL, _config(tmp_path / "parts", average=0.9, steps=steps, schedule="constant"))
  loop.train(_SMALL, _config(tmp_path / "other", average=0.9, schedule="constant"))
  np.testing.assert_allclose(_losses(tmp_path / "parts"), _losses(tmp_path / "other"), rtol=1e-5)


def test_rounded_latents_finish_a_training(trained, tmp_path):
  first = trained(_LONG_MODEL, **_LONG)
  before = dict(np.load(first / "model" / "weights.npz"))
  finish = {"init_from": str(first / "model"), "latents": "rounded", "steps": 60}
  loop.train(_LONG_MODEL, _config(tmp_path / "then", **finish, save_every=60, batch=4))
  after = dict(np.load(tmp_path / "then" / "model" / "weights.npz"))
  assert _losses(tmp_path / "then")[-1][2] < _losses(first)[-1][2]
  for name, value in before.items():
    # Equal up to the rounding in the stored files.
    stays = np.allclose(after[name], value, rtol=1e-5, atol=1e-6)
    assert stays == name.startswith(("g_a/", "h_a/")), name


@layers.quantizers.register("test rounding")
def _rounding(seed):
  """Rounds without a gradient for y; the mean has none either."""
  del seed
  return layers.quantizers.rounding, layers.quantizers.rounding


@pytest.mark.parametrize("name", [*layers.quantizers.names(), "nobodys"])
def test_a_quantizer_replaces_rounding_in_a_step_and_is_recorded(name, tmp_path):
  config_ = _config(tmp_path, quantizer=name)
  if name == "nobodys":
    with pytest.raises(ValueError, match="'nobodys'.*--import=MODULE"):
      trainer.build(_MODEL, config_)
    return
  run = trainer.build(_MODEL, config_)
  x = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)), tf.float32)
  pair = layers.quantizers.for_training(name, tf.constant([0, 0]))
  x_hat, rate = run.model.forward(run.model.analysis(x), None, *pair)
  before = [variable.numpy() for variable in run.model.g_a.trainable_variables]
  found = run.gradient_step(x)
  np.testing.assert_allclose(found.distortion, np.mean((x - x_hat) ** 2), rtol=1e-4)
  bits = np.mean(rate.y_bits + rate.z_bits)
  np.testing.assert_allclose(found.bpp, bits / 64**2, rtol=1e-4)
  moved = any((v != b).numpy().any() for v, b in zip(run.model.g_a.trainable_variables, before))
  assert moved == (name != "test rounding"), "only that one has no gradient"
  run_directory.write_record(tmp_path, _MODEL, config_)
  assert json.loads((tmp_path / "train.json").read_text())["flags"]["quantizer"] == name


@eagerly
def test_a_new_learning_rate_holds_after_resuming(copy_trained, tmp_path, monkeypatch):
  copy_trained(_SMALL, **_SHORT)
  used = []
  monkeypatch.setattr(
    loop._Run,
    "_fit",
    lambda run, _: used.append(float(run._trainer.optimizer.learning_rate.numpy())),
  )
  loop.train(_SMALL, _config(tmp_path, steps=4, schedule="constant", learning_rate=3e-5))
  assert used == [pytest.approx(3e-5)]


@eagerly
def test_two_trainings_do_not_share_a_directory(tmp_path, monkeypatch):
  refused = []

  def fit(*_):
    with pytest.raises(ValueError, match="another process is training") as caught:
      loop.train(_SMALL, _config(tmp_path))
    refused.append(str(caught.value))

  monkeypatch.setattr(loop._Run, "_fit", fit)
  loop.train(_SMALL, _config(tmp_path))
  assert len(refused) == 1 and "\n" not in refused[0]
  monkeypatch.setattr(loop._Run, "_fit", lambda *_: refused.clear())
  loop.train(_SMALL, _config(tmp_path))
  assert not refused  # The first run's end releases the lock.


@eagerly
def test_another_models_directory_is_refused(copy_trained, tmp_path):
  copy_trained(**_SHORT)
  with pytest.raises(ValueError, match=f"holds another model, of prior={_MODEL.prior}: give"):
    loop.train(dataclasses.replace(_MODEL, prior="autoregressive"), _config(tmp_path))
  other = dataclasses.replace(_MODEL, latent_channels=16)
  with pytest.raises(ValueError, match="weights are of another model"):
    loop.train(other, _config(tmp_path / "b", init_from=str(tmp_path / "model")))


@pytest.mark.parametrize(
  "changes", [{"schedule": "constant"}, {"precision_policy": "mixed_float16"}, {"average": 0.9}]
)
def test_a_checkpoint_with_other_optimizer_variables_is_refused(changes, tmp_path):
  model = config.ModelConfig("factorized", 2, 2)
  ours, other = (trainer.build(model, _config(tmp_path, **each)) for each in ({}, changes))
  for name, run in (("ours", ours), ("other", other)):
    checkpoints.Checkpoints(run, tmp_path / name, tf.zeros([1, 64, 64, 3])).save()
  for name, run in (("ours", other), ("other", ours)):
    again = checkpoints.Checkpoints(run, tmp_path / name, tf.zeros([1, 64, 64, 3]))
    with pytest.raises(ValueError, match="another --schedule, --warmup, --average or") as caught:
      again.restore()
    assert "\n" not in str(caught.value)


def test_nothing_to_train_on_is_an_error_before_the_first_step(tmp_path):
  PIL.Image.fromarray(np.zeros((80, 80), np.uint8)).save(tmp_path / "grey.png")
  (tmp_path / "broken.png").write_bytes(b"\x89PNG")
  with pytest.raises(finding.DataError, match="1 grey"):
    loop.train(_MODEL, _config(tmp_path, train_glob=str(tmp_path / "*.png")))
  assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
  ("changes", "match"),
  [
    ({"crop": 100}, "multiple of 64"),
    ({"lmbda": -1.0}, "above 0"),
    ({"lmbda": math.nan}, "above 0, not nan"),
    ({"clip_norm": math.inf}, "finite"),
    ({"seed": 2**31}, "the seed must be 0 to 2147483647, not 2147483648"),
    ({"distortion": "lpips"}, "mse, ms_ssim"),
    ({"distortion": "ms_ssim", "crop": 128}, "at least 161"),
    ({"schedule": "none"}, "constant"),
    ({"precision_policy": "float16"}, "mixed_bfloat16"),
    ({"steps": 0}, "at least 1"),
    ({"average": 1.0}, "at least 0 and below 1"),
    ({"latents": "soft"}, "noisy, rounded"),
    ({"latents": "rounded"}, "for trained models"),
    ({"latents": "rounded", "init_from": "a", "quantizer": "universal"}, "leave the quantizer out"),
    ({"dataset": "clic", "train_glob": "*"}, "not both"),
  ],
)
def test_wrong_settings_are_named(changes, match, tmp_path):
  with pytest.raises(ValueError, match=match):
    _config(tmp_path, **changes)


def test_wrong_models_are_named():
  with pytest.raises(ValueError, match="factorized"):
    bmshj_minnen.ModelConfig(prior="gaussian")
  with pytest.raises(ValueError, match="at least 1"):
    bmshj_minnen.ModelConfig(num_filters=0)
