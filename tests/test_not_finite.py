"""Training that diverges loses nothing, and models that are not finite are refused in one line."""

import csv
import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.coding.freezing import NotFiniteError
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.training import failures, loop
from tests import codecs, programs

_MODEL = bmshj_minnen.ModelConfig("factorized", 8, 12)
_FLAGS = ["--prior=factorized", "--num_filters=8", "--latent_channels=12"]
_SANE = {"crop": 64, "batch": 2, "save_every": 1, "schedule": "constant", "learning_rate": 1e-4}
_EXPLODING = {**_SANE, "learning_rate": 1e30, "clip_norm": 0.0}


def _train(folder, steps, settings=_SANE, **changes):
  config = bmshj_minnen.TrainConfig(str(folder), steps=steps, **{**settings, **changes})
  return loop.train(_MODEL, config)


def _model_files(folder):
  """All files of the model except the record of the runs and TensorBoard's logs."""
  paths = [path for path in folder.rglob("*") if path.is_file() and "events" not in path.name]
  return {path.name: path.read_bytes() for path in paths if path.name != "train.json"}


@pytest.mark.usefixtures("eagerly")
def test_the_last_good_checkpoint_stays_and_the_run_goes_on_from_it(tmp_path):
  average = 0.9  # Average weights are validated and saved, not the weights of the step.
  _train(tmp_path, 1, average=average)
  before = _model_files(tmp_path)
  # The last step makes the weights bad, so that no later loss shows it.
  with pytest.raises(failures.TrainingError) as caught:
    _train(tmp_path, 2, _EXPLODING, average=average)
  words = str(caught.value)
  assert words.startswith("step 2: ") and "\n" not in words
  assert words.endswith(f"the last good checkpoint is {tmp_path}/checkpoints/ckpt-1")
  assert _model_files(tmp_path) == before
  _train(tmp_path, 2, average=average)
  with open(tmp_path / "metrics.csv") as file:
    rows = list(csv.DictReader(file))
  assert [row["step"] for row in rows] == ["1", "2"]
  assert np.isfinite([float(value) for row in rows for value in row.values()]).all()
  codec, image = bmshj_minnen.load(tmp_path), codecs.photograph(40, 50)
  assert codec.decompress(codec.compress(image)).shape == image.shape


@pytest.mark.usefixtures("eagerly")
def test_a_first_step_that_explodes_leaves_no_model(tmp_path):
  codecs.make_codec("factorized", tmp_path)
  start, folder = tmp_path / "factorized", tmp_path / "model"
  before = _model_files(start)
  with pytest.raises(failures.TrainingError) as caught:
    _train(folder, 4, _EXPLODING, save_every=4, init_from=str(start))
  words = str(caught.value)
  assert words.startswith("step 2: loss became ")
  assert words.endswith("no checkpoint was saved before")
  assert set(_model_files(folder)) == {"config.json"} and _model_files(start) == before


_ON_TWO_DEVICES = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from bmshj_minnen import train
from bmshj_minnen.training import distribution
distribution.make_strategy = lambda config: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
train.run()
"""


def test_two_devices_find_it_and_the_status_is_1(tmp_path):
  flags = [*_FLAGS, "--crop=64", "--batch=2", "--save_every=1", f"--model_dir={tmp_path}"]
  flags += ["--strategy=mirrored", "--steps=1", "--learning_rate=1e30", "--clip_norm=0"]
  result = programs.run(_ON_TWO_DEVICES, *flags, eager=True)
  assert (result.returncode, result.stdout) == (1, "")
  last = result.stderr.splitlines()[-1]
  assert last.startswith("error: step 1: ") and "as with --clip_norm=1" in last
  assert last.endswith("no checkpoint was saved before")
  assert "Traceback" not in result.stderr and set(_model_files(tmp_path)) == {"config.json"}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
  """A model with one weight that is NaN, saved without a check; beside it, a file of the model."""
  folder = tmp_path_factory.mktemp("broken")
  codec, _ = codecs.make_codec("factorized", folder)
  (folder / "x.tfci").write_bytes(codec.compress(codecs.photograph(40, 50)))
  path = folder / "factorized" / "weights.npz"
  with np.load(path) as arrays:
    changed = dict(arrays)
  changed["g_s/1/bias"][3] = np.nan
  np.savez(path, **changed)
  return folder / "factorized"


def test_no_entrance_takes_a_model_that_is_not_finite(broken, tmp_path):
  line = rf"{broken}/weights.npz holds numbers that are not finite \(g_s/1/bias\), as a training "
  for load in (bmshj_minnen.load, bmshj_minnen.load_model):
    with pytest.raises(ValueError, match=line) as caught:
      load(broken)
    assert "\n" not in str(caught.value)
  with pytest.raises(ValueError, match=line):
    _train(tmp_path / "model", 1, init_from=str(broken))
  with pytest.raises(ValueError, match=line):
    bmshj_minnen.load(broken, refine=1, lmbda=0.01)
  shutil.copytree(broken, tmp_path / "coder")
  with np.load(broken / "coder.npz") as arrays:
    np.savez(tmp_path / "coder" / "coder.npz", **{**arrays, "y_step": np.float64(np.nan)})
  with pytest.raises(ValueError, match=r"coder.npz holds numbers that are not finite \(y_step\)"):
    bmshj_minnen.load(tmp_path / "coder")


@pytest.mark.parametrize("program", ["compress", "decompress", "evaluate", "export"])
def test_programs_refuse_a_model_that_is_not_finite_in_one_line(program, broken, tmp_path):
  PIL.Image.fromarray(codecs.photograph(40, 50)).save(tmp_path / "x.png")
  output = tmp_path / "output"
  arguments = {
    "compress": [tmp_path / "x.png", output],
    "decompress": [broken.parent / "x.tfci", output],
    "evaluate": [f"--images={tmp_path}/x.png", f"--output={output}"],
    "export": [f"--output={output}/1"],
  }
  result = programs.run(program, f"--model={broken}", *arguments[program])
  assert result.returncode == 1
  errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
  assert len(errors) == 1 and "holds numbers that are not finite (g_s/1/bias)" in errors[0]
  assert "Traceback" not in result.stderr
  assert program == "evaluate" or not output.exists()


@pytest.mark.parametrize("prior", ["factorized", "scale_hyperprior", "joint"])
@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_nothing_is_written_of_a_model_whose_activations_are_not_finite(
  prior, value, build_model, tmp_path
):
  model = build_model(prior)
  for variable in model.g_a.trainable_variables:
    variable.assign(tf.fill(variable.shape, tf.cast(value, tf.float32)))
  with pytest.raises(NotFiniteError, match="not finite"):
    model_directory.save(model, tmp_path / "model", tf.zeros([1, 64, 64, 3]) + 99)
  assert not (tmp_path / "model").exists()
