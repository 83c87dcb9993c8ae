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
from bmshj_minnen.model_files import weights
from bmshj_minnen.training import (
  callbacks,
  checkpoints,
  failures,
  inputs,
  loop,
  own_parts,
  run_directory,
  schedules,
  train_config,
  trainer,
)
from tests import codecs
from tests.quick_networks import NAME

_MODEL = bmshj_minnen.ModelConfig(num_filters=4, latent_channels=6)
# For tests that depend on neither the prior nor the networks.
_SMALL = bmshj_minnen.ModelConfig("factorized", 4, 4, density_filters=(2,), networks=NAME)

_SHORT = {"steps": 1, "save_every": 1}
# The rate of a run to step 2 is that of one to step 4, too.
_RUN = {"schedule": "constant", "average": 0.9}

# For tests of the files of a run, and of its ends.
eagerly = pytest.mark.usefixtures("eagerly")


def _config(folder, **changes):
  base = bmshj_minnen.TrainConfig(
    model_dir=str(folder / "model"),
    train_glob=finding.bundled_photographs()[0],  # To read all would take longer than a step.
    crop=64,
    batch=2,
    steps=4,
    save_every=2,
    learning_rate=1e-3,
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
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:30, :20]
  assert codec.decompress(codec.compress(image)).shape == image.shape


# It has all parts of the joint prior but the context, and its step is traced sooner.
_LONG_MODEL = dataclasses.replace(_SMALL, prior="mean_scale_hyperprior")
_LONG = {"steps": 40, "save_every": 10, "learning_rate": 3e-3}


def test_the_loss_falls(trained):
  values = [value for _, _, value in _losses(trained(_LONG_MODEL, **_LONG))]
  assert values[-1] < 0.5 * values[0]


def test_each_step_has_its_own_noise_and_has_it_again(tmp_path):
  run = trainer.build(_SMALL, _config(tmp_path, schedule="constant"))
  run.optimizer.learning_rate = 0.0  # So that losses differ by the noise alone.
  x = tf.constant(bmshj_minnen.read_image(finding.bundled_photographs()[0])[None, :64, :64])
  step = tf.function(lambda: run.gradient_step(x).loss, autograph=False)
  losses = [float(step()) for _ in range(3)]
  assert len({*losses}) == 3
  run.optimizer.iterations.assign(1)
  assert float(step()) == losses[1]


@eagerly
def test_a_run_leaves_its_record(trained):
  folder = trained(_SMALL, **_RUN) / "model"
  record = json.loads((folder / "train.json").read_text())
  assert record["flags"]["lmbda"] == 0.01 and record["flags"]["crop"] == 64
  assert record["versions"]["tensorflow"].startswith("2.14")
  assert record["train"] == finding.bundled_photographs()[:1]
  assert record["validation"] == finding.held_out_photographs()
  assert [step for step, _, _ in _losses(folder.parent)] == [2, 4]
  events = list((folder / "logs").glob("events*"))
  tags = {
    value.tag
    for path in events
    for event in tf.compat.v1.train.summary_iterator(str(path))
    for value in event.summary.value
  }
  assert {"loss", "val_bpp"} <= tags
  assert any(tag.startswith("reconstruction") for tag in tags)


def test_without_photographs_the_bundled_ones_are_trained_on(tmp_path):
  used = inputs.Inputs(_config(tmp_path, train_glob=""), own_parts.OwnParts()).record()["train"]
  assert list(used) == sorted(finding.bundled_photographs())
  assert not set(used) & set(finding.held_out_photographs())


@eagerly
def test_same_seed_same_losses_and_resuming_repeats_an_uninterrupted_run(trained, tmp_path):
  """The average of the weights goes on, too; `test_distribution` resumes in a graph."""
  whole = _losses(trained(_SMALL, **_RUN))
  loop.train(_SMALL, _config(tmp_path / "seed", seed=1, steps=2, **_RUN))
  # A run up to step 2, then as after `kill -9`: only its files are left.
  for steps in (2, 4):
    loop.train(_SMALL, _config(tmp_path / "resumed", steps=steps, **_RUN))
  assert [step for step, _, _ in whole] == [2, 4]
  np.testing.assert_allclose(_losses(tmp_path / "resumed"), whole, rtol=1e-5)
  assert abs(_losses(tmp_path / "seed")[0][1] / whole[0][1] - 1) > 1e-3


@eagerly
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_model_and_the_run_goes_on(tmp_path, monkeypatch):
  """During a validation it ends the run after the row, which no later run would write."""

  def interrupt_step(self, batch, logs=None):
    if int(self.model.optimizer.iterations) == 1:
      raise KeyboardInterrupt

  def interrupt_validation(self, batch, logs=None):
    if self._checkpoints.step == 2:
      monkeypatch.undo()
      signal.raise_signal(signal.SIGINT)

  config_ = _config(tmp_path, steps=3)
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(callbacks.Guard, "on_train_batch_end", interrupt_step)
    loop.train(_SMALL, config_)
  assert bmshj_minnen.load(tmp_path / "model").compress(np.zeros((8, 8, 3), np.uint8))
  monkeypatch.setattr(callbacks.Record, "on_test_batch_begin", interrupt_validation)
  with pytest.raises(KeyboardInterrupt):
    loop.train(_SMALL, config_)
  assert [step for step, _, _ in _losses(tmp_path)] == [2]
  assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
  loop.train(_SMALL, config_)
  assert [step for step, _, _ in _losses(tmp_path)] == [2, 3]


@eagerly
def test_a_finished_run_says_so_and_keeps_its_weights(copy_trained, tmp_path):
  directory = copy_trained(_SMALL, **_RUN) / "model"
  before = bmshj_minnen.load(directory).fingerprint
  record = (directory / "train.json").read_text()
  loop.train(_SMALL, _config(tmp_path, lmbda=0.5, **_RUN))
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


@eagerly
def test_a_damaged_record_is_named_and_stays(copy_trained, tmp_path):
  record = copy_trained(_SMALL, **_RUN) / "model" / "train.json"
  for text in ("", '{"flags": 7}'):
    record.write_text(text)
    for fields in (_RUN, {**_RUN, "steps": 9}):
      with pytest.raises(
        ValueError, match=r"model/train.json is damaged \(.*\): copy the model ag"
      ):
        loop.train(_SMALL, _config(tmp_path, **fields))
    assert record.read_text() == text


@eagerly
def test_a_model_without_a_checkpoint_is_not_overwritten(copy_trained, tmp_path):
  directory = copy_trained(_SMALL, **_RUN) / "model"
  shutil.rmtree(directory / "checkpoints")
  before = (directory / "weights.npz").read_bytes()
  with pytest.raises(ValueError, match="no checkpoint to go on from: give --init_from="):
    loop.train(_SMALL, _config(tmp_path))
  assert (directory / "weights.npz").read_bytes() == before


@eagerly
def test_a_collapsed_rate_stops(tmp_path, monkeypatch):
  monkeypatch.setattr(callbacks, "_COLLAPSED_BPP", 1e9)
  monkeypatch.setattr(callbacks, "_WINDOW", 2)
  with pytest.raises(failures.TrainingError, match="step 2: .* raise --lambda"):
    loop.train(_SMALL, _config(tmp_path))


@eagerly
def test_init_from_starts_from_other_weights_and_ms_ssim_fine_tunes_them(trained, tmp_path):
  first = trained(_SMALL, **_RUN) / "model"
  settings = {"distortion": "ms_ssim", "lmbda": 8.73, "crop": 192, "init_from": str(first)}
  second = loop.train(_SMALL, _config(tmp_path, steps=1, learning_rate=1e-5, **settings))
  before, after = (weights.to_arrays(bmshj_minnen.load_model(folder)) for folder in (first, second))
  moved = [name for name in before if (before[name] != after[name]).any()]
  assert {"g_a/", "g_s/", "y_de"} <= {name[:4] for name in moved}, moved
  for name in moved:
    np.testing.assert_allclose(after[name], before[name], atol=2e-4, err_msg=name)
  assert 0 < float(_rows(tmp_path)[0]["distortion"]) < 1


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
def test_half_precision_follows_single_precision_and_leaves_no_trace(tmp_path):
  x = tf.constant(codecs.photograph(128, 64).reshape(2, 64, 64, 3))
  values = {}
  for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
    run = trainer.build(_MODEL, _config(tmp_path, precision_policy=policy))
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    losses = [run.gradient_step(x), run.gradient_step(x), run.validation_losses(x)]
    values[policy] = [float(each.loss) for each in losses]
    np.testing.assert_allclose(values[policy], values["float32"], rtol=0.05)
  assert len(set(map(tuple, values.values()))) == 3
  loop.train(_SMALL, _config(tmp_path, precision_policy="mixed_float16", average=0.9, **_SHORT))
  assert tf.keras.mixed_precision.global_policy().name == "float32"
  assert bmshj_minnen.load(tmp_path / "model").compress(np.zeros((8, 8, 3), np.uint8))


def test_gdn_is_float32_whatever_the_convolutions_are():
  model = trainer.build(_MODEL, _config(pathlib.Path(), precision_policy="mixed_float16")).model
  types = [(layer.compute_dtype, layer.activation.compute_dtype) for layer in model.g_a.layers[:3]]
  assert types == [("float16", "float32")] * 3


@eagerly
def test_the_average_of_the_weights_is_what_is_validated_and_saved(tmp_path):
  momentum = 0.6
  config_ = _config(tmp_path, average=momentum)
  run = trainer.build(_SMALL, config_)
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
  expected = trainer.build(_SMALL, _config(tmp_path, init_from=str(tmp_path / "model")))
  expected.load_initial_weights()
  kept = tf.data.Dataset.from_tensors(x)
  np.testing.assert_allclose(
    run.evaluate(kept, verbose=0), expected.evaluate(kept, verbose=0), rtol=1e-3
  )


def test_rounded_latents_finish_a_training(trained, tmp_path):
  first = trained(_LONG_MODEL, **_LONG)
  before = dict(np.load(first / "model" / "weights.npz"))
  finish = {"init_from": str(first / "model"), "latents": "rounded"}
  loop.train(_LONG_MODEL, _config(tmp_path / "then", **{**_LONG, "save_every": 40}, **finish))
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
  model = dataclasses.replace(_SMALL, prior="joint")
  config_ = _config(tmp_path, quantizer=name)
  if name == "nobodys":
    with pytest.raises(ValueError, match="'nobodys'.*--import=MODULE"):
      trainer.build(model, config_)
    return
  run = trainer.build(model, config_)
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
  run_directory.write_record(tmp_path, model, config_)
  assert json.loads((tmp_path / "train.json").read_text())["flags"]["quantizer"] == name


@eagerly
def test_a_run_without_steps_left_names_the_flags_that_it_ignores(copy_trained, tmp_path, caplog):
  copy_trained(**_SHORT)

  def warnings(**changes):
    caplog.clear()
    loop.train(_MODEL, _config(tmp_path, **{**_SHORT, **changes}))
    return [record.message for record in caplog.records if record.levelname == "WARNING"]

  assert warnings() == []
  (line,) = warnings(lmbda=0.9, save_every=7)
  assert "without --lambda=0.01 -> 0.9, --save_every=1 -> 7: give more --steps" in line


@eagerly
def test_a_new_learning_rate_holds_after_resuming(copy_trained, tmp_path, monkeypatch):
  copy_trained(_SMALL, **_RUN)
  used = []
  monkeypatch.setattr(
    loop._Run,
    "_fit",
    lambda run, _: used.append(float(run._trainer.optimizer.learning_rate.numpy())),
  )
  loop.train(_SMALL, _config(tmp_path, steps=6, learning_rate=3e-5, **_RUN))
  assert used == [pytest.approx(3e-5)]


@eagerly
def test_two_trainings_do_not_share_a_directory(tmp_path, monkeypatch):
  refused = []

  def fit(*_):
    with pytest.raises(ValueError, match="another process is training") as caught:
      loop.train(_SMALL, _config(tmp_path))
    refused.append(str(caught.value))

  monkeypatch.setattr(loop._Run, "_fit", fit)
  directory = loop.train(_SMALL, _config(tmp_path))
  assert len(refused) == 1 and "\n" not in refused[0]
  with run_directory.exclusive_lock(directory):  # The first run's end has released it.
    pass


@eagerly
def test_another_models_directory_is_refused(copy_trained, tmp_path):
  copy_trained(**_SHORT)
  with pytest.raises(ValueError, match=f"holds another model: prior is {_MODEL.prior}, not"):
    loop.train(dataclasses.replace(_MODEL, prior="autoregressive"), _config(tmp_path))
  other = dataclasses.replace(_MODEL, latent_channels=16)
  with pytest.raises(ValueError, match="model: latent_channels is 6, not 16: give"):
    loop.train(other, _config(tmp_path / "b", init_from=str(tmp_path / "model")))


@eagerly
def test_files_that_no_training_wrote_are_not_replaced(tmp_path):
  others = {
    "config.json": '{"my": "settings"}',
    "train.json": "[1]",
    "metrics.csv": "day,value\n1,2\n",
    "coder.npz": "other",
  }
  for name, content in others.items():
    config_ = _config(tmp_path / name, **_SHORT)
    path = pathlib.Path(config_.model_dir) / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=f"{name} was not written by a training"):
      loop.train(_SMALL, config_)
    assert path.read_text() == content and list(path.parent.iterdir()) == [path]


@eagerly
def test_a_checkpoint_with_other_optimizer_variables_is_refused(tmp_path):
  changes = [{}, {"schedule": "constant"}, {"precision_policy": "mixed_float16"}, {"average": 0.9}]
  runs = [trainer.build(_SMALL, _config(tmp_path, **change)) for change in changes]
  for i, run in enumerate(runs):
    checkpoints.Checkpoints(run, tmp_path / f"{i}", tf.zeros([1, 64, 64, 3])).save()
  for i in (1, 2, 3):
    for run, name in ((runs[0], f"{i}"), (runs[i], "0")):
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
