"""The files of a run are whole, finite and without gaps, wherever it is interrupted."""

import contextlib
import csv
import dataclasses
import resource

import numpy as np
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import array_files, model_directory, snapshots
from bmshj_minnen.training import failures, loop, run_directory, trainer
from bmshj_minnen.training.checkpoints import Checkpoints
from bmshj_minnen.training.metrics_table import MetricsTable

_MODEL = bmshj_minnen.ModelConfig("factorized", 2, 2)
_IMAGES = tf.zeros([1, 64, 64, 3])


@pytest.fixture(scope="module")
def _trainers():
  return {}


@pytest.fixture
def build(_trainers):
  """Average -> a trainer that starts at step 0, the same for all tests."""
  used = []

  def get(average=0.0):
    if average not in _trainers:
      settings = bmshj_minnen.TrainConfig("unused", crop=64, batch=2, average=average)
      built = trainer.build(_MODEL, settings)
      _trainers[average] = built, [variable.numpy() for variable in built.saved_variables]
    used.append(average)
    return _trainers[average][0]

  yield get
  for built, values in map(_trainers.get, used):
    for variable, value in zip(built.saved_variables, values):
      variable.assign(value)


@pytest.fixture(scope="module")
def _snapshot():
  return snapshots.take(Model(_MODEL), _IMAGES)


@pytest.fixture(autouse=True)
def _quick_snapshots(_snapshot, monkeypatch):
  """Skips freezing models, which takes a second, and has its own tests."""
  monkeypatch.setattr(snapshots, "take", lambda *_: _snapshot)


def _save(run, saved, step):
  """Saves as at the end of an epoch."""
  run.optimizer.iterations.assign(step)
  saved.save({"step": step, "loss": step / 2})


def _steps(folder):
  with open(folder / "metrics.csv") as file:
    return [int(row["step"]) for row in csv.DictReader(file)]


def _contents(folder):
  return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class _KilledError(Exception):
  """Stands in for a signal that ends the process: nothing more is written."""


_WRITES = [
  (MetricsTable, "update"),
  (Checkpoints, "_write_checkpoint"),
  (snapshots.Snapshot, "write"),
]


@pytest.mark.parametrize(("writer", "name"), _WRITES)
def test_a_run_that_is_killed_while_it_saves_has_a_row_for_each_save(
  writer, name, build, tmp_path, monkeypatch
):
  run = build()
  saved = Checkpoints(run, tmp_path, _IMAGES)
  saved.restore()
  for step in (2, 4):
    _save(run, saved, step)

  def killed(*args):
    raise _KilledError

  with monkeypatch.context() as patch:
    patch.setattr(writer, name, killed)
    with pytest.raises(_KilledError):
      _save(run, saved, 6)
  run = build()
  saved = Checkpoints(run, tmp_path, _IMAGES)
  first = saved.restore()
  assert first in (4, 6)
  # With another interval between saves, rows of repeated steps are left out, too.
  for step in range(first + 3, 13, 3):
    _save(run, saved, step)
  assert _steps(tmp_path) == [2, 4, *range(6, first + 1), *range(first + 3, 13, 3)]
  assert bmshj_minnen.load(tmp_path).config == _MODEL


def test_rows_after_the_checkpoint_go_where_a_run_is_interrupted_again_at_once(build, tmp_path):
  run = build()
  saved = Checkpoints(run, tmp_path, _IMAGES)
  saved.restore()
  _save(run, saved, 2)
  MetricsTable(tmp_path / "metrics.csv").update(4, {"step": 4, "loss": 2.0})  # Killed thereafter.
  saved = Checkpoints(run, tmp_path, _IMAGES)
  assert saved.restore() == 2
  run.optimizer.iterations.assign(5)
  saved.save()  # As Ctrl-C does.
  assert _steps(tmp_path) == [2]


def test_a_table_keeps_what_it_can(tmp_path):
  path = tmp_path / "metrics.csv"
  path.touch()  # A killed process could leave it so.
  table = MetricsTable(path)
  table.update(7, {"step": 7, "loss": 3.0})
  table.update(8)
  path.write_text(path.read_text() + "8,2")
  path.write_text(path.read_text() + "\n9")  # Cut off.
  table = MetricsTable(path)
  table.resume(9)
  table.update(10, {"step": 10, "loss": 1.0, "psnr": 30.0})
  with open(path, newline="") as file:
    assert list(csv.reader(file)) == [
      ["step", "loss", "psnr"],
      ["7", "3.0", ""],
      ["8", "2", ""],
      ["10", "1.0", "30.0"],
    ]


_NAN, _HUGE = float("nan"), 1e30


def _break(variable, value):
  variable.assign(tf.fill(variable.shape, tf.cast(value, variable.dtype)))


@pytest.mark.parametrize("value", [_NAN, float("inf"), _HUGE])
@pytest.mark.parametrize("part", ["g_a", "g_s", "average", "momentum"])
def test_what_is_not_finite_is_not_saved(value, part, build, tmp_path):
  run = build(0.9 if part == "average" else 0.0)
  saved = Checkpoints(run, tmp_path, _IMAGES)
  _save(run, saved, 3)
  before = _contents(tmp_path)
  if part == "average":
    variables = run.averages
  elif part == "momentum":
    variables = run.optimizer.variables[2:4]
    value = _NAN if value == _HUGE else value  # Large momenta are allowed.
  else:
    variables = getattr(run.model, part).trainable_variables
  for variable in variables:
    _break(variable, value)
  with pytest.raises(failures.TrainingError) as caught:
    _save(run, saved, 5)
  words = str(caught.value)
  assert words.startswith("step 5: the ") and words.endswith(
    f"checkpoint is {tmp_path}/checkpoints/ckpt-3"
  )
  assert "--learning_rate" in words and "\n" not in words
  assert _contents(tmp_path) == before


def _damage(run, saved, file):
  file.write_bytes(file.read_bytes()[:-1000])


def _overwrite_with(value):
  """Returns a function that saves this value in a checkpoint, unchecked."""

  def overwrite(run, saved, file):
    kept = [variable.numpy() for variable in run.model.trainable_variables]
    for variable in run.model.trainable_variables:
      _break(variable, value)
    saved._checkpoint.write(str(file).partition(".data")[0])
    for variable, values in zip(run.model.trainable_variables, kept):
      variable.assign(values)

  return overwrite


@pytest.mark.parametrize("spoil", [_damage, _overwrite_with(_NAN), _overwrite_with(_HUGE)])
def test_a_checkpoint_that_is_damaged_or_not_finite_gives_way_to_the_one_before(
  spoil, build, tmp_path
):
  run = build()
  saved = Checkpoints(run, tmp_path, _IMAGES)
  for step in (3, 5):
    _save(run, saved, step)

  def spoil_step(step):
    run.optimizer.iterations.assign(step)
    spoil(run, saved, next(tmp_path.glob(f"checkpoints/ckpt-{step}.data-*")))

  spoil_step(5)
  saved = Checkpoints(run, tmp_path, _IMAGES)
  assert saved.restore() == 3 and saved.kept.endswith("ckpt-3")
  _save(run, saved, 4)
  # The bad checkpoint was removed, not the previous one.
  assert {path.name.partition(".")[0] for path in tmp_path.glob("checkpoints/ckpt-*")} == {
    "ckpt-3",
    "ckpt-4",
  }
  assert Checkpoints(run, tmp_path, _IMAGES).restore() == 4 and _steps(tmp_path) == [3, 4]
  for step in (3, 4):
    spoil_step(step)
  before = _contents(tmp_path)
  with pytest.raises(ValueError, match="no checkpoint is whole and finite.*--init_from=") as caught:
    Checkpoints(run, tmp_path, _IMAGES).restore()
  assert "\n" not in str(caught.value) and _contents(tmp_path) == before


@contextlib.contextmanager
def _files_of_at_most(size):
  """Simulates a full disk: writing beyond the first bytes is an error."""
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_files_of_a_model_directory_whole(tiny_model, tmp_path):
  model = tiny_model("factorized")
  settings = bmshj_minnen.TrainConfig(str(tmp_path))
  run_directory.write_record(tmp_path, model.config, settings)
  before = _contents(tmp_path)
  assert {path.name for path in before} == {"config.json", "train.json"}
  size = len(before[tmp_path / "config.json"])
  with _files_of_at_most(size), pytest.raises(OSError, match="train.json"):
    run_directory.write_record(tmp_path, model.config, settings)
  with _files_of_at_most(10), pytest.raises(OSError, match="config.json"):
    model_directory.save(model, tmp_path, _IMAGES)
  assert _contents(tmp_path) == before


def test_files_that_belong_together_change_together(tmp_path):
  small, large = {"a": np.zeros(10)}, {"a": np.random.default_rng(0).normal(size=10_000)}
  array_files.write(tmp_path, {array_files.WEIGHTS: small, array_files.CODER: small})
  before = _contents(tmp_path)
  new = {array_files.WEIGHTS: {"a": np.ones(10)}, array_files.CODER: large}
  with _files_of_at_most(5000), pytest.raises(OSError, match=rf"{tmp_path}/coder.npz"):
    array_files.write(tmp_path, new)
  assert _contents(tmp_path) == before
  array_files.write(tmp_path, new)
  assert array_files.read(tmp_path, array_files.CODER)["a"].tolist() == large["a"].tolist()
  assert {path.name for path in tmp_path.iterdir()} == {"weights.npz", "coder.npz"}


def test_a_disk_that_is_full_for_a_checkpoint_leaves_the_one_before(build, tmp_path):
  run = build()
  saved = Checkpoints(run, tmp_path, _IMAGES)
  saved.restore()
  _save(run, saved, 3)
  with _files_of_at_most(5000), pytest.raises(OSError) as caught:
    _save(run, saved, 5)
  assert str(caught.value) == (
    f"{tmp_path}: the checkpoint of step 5 cannot be written: File too large; "
    f"the last good checkpoint is {tmp_path}/checkpoints/ckpt-3"
  )
  saved = Checkpoints(run, tmp_path, _IMAGES)
  assert saved.restore() == 3
  _save(run, saved, 4)
  assert _steps(tmp_path) == [3, 4]


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk_and_too_little_memory_are_told_apart(words):
  settings = bmshj_minnen.TrainConfig("models/x", batch=7)
  with pytest.raises(OSError, match=f"^models/x cannot be written to: {words}$"):
    with failures.named_shortages(settings):
      raise tf.errors.ResourceExhaustedError(None, None, f"x/events; {words}\nCould not flush")
  for error in (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), MemoryError()):
    with pytest.raises(failures.TrainingError, match="7 crops of 256x256: lower --batch or --crop"):
      with failures.named_shortages(settings):
        raise error


def test_a_batch_that_cannot_fit_is_refused_before_the_first_step(tmp_path, monkeypatch):
  model = bmshj_minnen.ModelConfig(num_filters=192)
  huge = bmshj_minnen.TrainConfig(str(tmp_path / "model"), batch=10**7, crop=256)
  with pytest.raises(failures.TrainingError, match="too little memory for steps of 10000000 crops"):
    loop.train(model, huge)
  # Eight crops take some gigabytes, but are not refused with half a gigabyte.
  monkeypatch.setattr(failures, "_memory", lambda: 2**29)
  failures.refuse_too_large_a_batch(model, dataclasses.replace(huge, batch=8))
