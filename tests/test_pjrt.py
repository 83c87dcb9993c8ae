"""The training step outside TensorFlow: the same losses, and interruptible runs."""

import csv
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

import bmshj_minnen
from bmshj_minnen import config
from bmshj_minnen.data import finding
from bmshj_minnen.data.crops import CropSettings, photograph_crops
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.training import loop, trainer
from experiments.pjrt import import_state, step_file, variables
from tests import programs

_ROOT = pathlib.Path(__file__).parent.parent
_JAX_PYTHON = _ROOT / ".venv-jax" / "bin" / "python"
# For tests that do not depend on the prior: its programs are small.
_FACTORIZED = config.ModelConfig("factorized", num_filters=4, latent_channels=6)
_TRAIN = bmshj_minnen.TrainConfig(
  model_dir="unused", crop=64, batch=2, steps=20, schedule="cosine", learning_rate=1e-3
)

needs_jax = pytest.mark.skipif(
  not _JAX_PYTHON.exists(), reason="JAX is not installed: make .venv-jax/.installed"
)


def _crops(steps, train):
  """Crops [steps, batch, crop, crop, 3] uint8."""
  settings = CropSettings(train.crop, train.batch, seed=0, first_step=0, last_step=steps)
  batches = photograph_crops(tuple(finding.bundled_photographs()), settings)
  return np.stack(list(batches.as_numpy_iterator()))


@pytest.fixture(scope="session")
def runner(tmp_path_factory):
  """A copy of the runner, alone in its folder."""
  folder = tmp_path_factory.mktemp("runner")
  for name in ("run_step", "device_trainer", "programs", "crops", "step_file"):
    shutil.copy(_ROOT / "experiments" / "pjrt" / f"{name}.py", folder)
  return folder / "run_step.py"


@pytest.fixture(scope="session", autouse=True)
def _quick_compiler(tmp_path_factory):
  """Makes JAX use the processor, and compile each program once."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("JAX_PLATFORMS", "cpu")
    patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("jax")))
    patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    yield


def _environment():
  environment = {name: os.environ[name] for name in os.environ if name.startswith(("PATH", "JAX_"))}
  # Optimization takes seconds, and so does the newer way to compile fusions. XLA ends at flags that
  # it does not know; JAX 0.10, the last for Python 3.11, knows these.
  flags = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
  return {**environment, "XLA_FLAGS": flags}


def _command(runner, step, crops, output, *flags):
  return [_JAX_PYTHON, runner, step, f"--train={crops}", f"--output={output}", "--as_is", *flags]


def _run(*arguments):
  return subprocess.run(
    _command(*arguments),
    cwd=arguments[0].parent,
    env=_environment(),
    check=True,
    capture_output=True,
    text=True,
  )


def _rows(folder):
  with open(folder / "metrics.csv") as file:
    return list(csv.DictReader(file))


def _train_with_keras(model, train, crops):
  """The losses that `fit` reports for each step, those of a validation, and the trainer."""
  run = trainer.build(model, train)
  run.load_initial_weights()
  losses = []

  class Log(tf.keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
      self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
      losses.append(dict(logs))

  run.fit(tf.data.Dataset.from_tensor_slices(crops), callbacks=[Log()], verbose=0)
  held_out = run.evaluate(tf.data.Dataset.from_tensor_slices(crops[0]).batch(2), verbose=0)
  return losses, dict(zip(run.metrics_names, held_out)), run


@dataclasses.dataclass(frozen=True)
class _Case:
  """A run, and how many of its first steps Keras takes too."""

  model: bmshj_minnen.ModelConfig
  train: bmshj_minnen.TrainConfig
  steps: int
  compared: int
  tf32: bool = True
  save_every: int = 1

  @property
  def flags(self):
    return [f"--steps={self.steps}", f"--save_every={self.save_every}", "--steps_per_call=3"]


_CONSTANT = dataclasses.replace(_TRAIN, schedule="constant", clip_norm=0.0)
_MANY_RATES = dataclasses.replace(_FACTORIZED, gain_lambdas=(0.005, 0.05))
_OPTIONS = {"optimizer": "muon", "average": 0.5, "distortion": "ms_ssim", "crop": 192, "batch": 1}
# All parts of priors, and every option: the joint prior has the parts of the others.
_CASES = {
  "many_rates": _Case(_MANY_RATES, _CONSTANT, 12, compared=4, tf32=False, save_every=4),
  "joint": _Case(
    config.ModelConfig("joint", 4, 6), dataclasses.replace(_TRAIN, **_OPTIONS), 2, compared=2
  ),
}
_LONG = _CASES["many_rates"]

_EXPORTS = """
import gc, pathlib
from bmshj_minnen import ModelConfig, TrainConfig
from experiments.pjrt import export_step, step_file
gc.disable()  # Tracing makes millions of objects, and this process ends soon.
for path, arguments in {!r}.items():
  step_file.save(pathlib.Path(path), export_step.export(*arguments))
"""


@pytest.fixture(scope="session")
def fine_tuning(tmp_path_factory):
  """A run from whose weights the step "fine_tuning" starts."""
  folder = tmp_path_factory.mktemp("source")
  source = trainer.build(_FACTORIZED, dataclasses.replace(_TRAIN, seed=5))
  model_directory.save(source.model, folder, tf.constant(_crops(1, _TRAIN)[0]))
  train = dataclasses.replace(_TRAIN, init_from=str(folder), precision_policy="mixed_bfloat16")
  return source, train


@pytest.fixture(scope="session")
def exported(fine_tuning, tmp_path_factory):
  """The folder with the step file of each case, and of "fine_tuning"; tests must not change them.

  Another process exports them all, since XLA keeps hundreds of megabytes.
  """
  folder = tmp_path_factory.mktemp("exported")
  runs = {name: (case.model, case.train, case.tf32) for name, case in _CASES.items()}
  runs["fine_tuning"] = (_FACTORIZED, fine_tuning[1])
  paths = {f"{folder / name}.npz": arguments for name, arguments in runs.items()}
  result = programs.run(_EXPORTS.format(paths))
  assert result.returncode == 0, result.stderr
  return folder


@pytest.fixture(scope="module")
def finished(exported, runner, tmp_path_factory):
  """Case -> a folder with step.npz, crops.npy, held_out.npy and a whole run."""

  @functools.cache
  def run(name):
    case, folder = _CASES[name], tmp_path_factory.mktemp(name)
    crops = _crops(case.steps, case.train)
    np.save(folder / "crops.npy", crops.reshape(-1, *crops.shape[2:]))
    np.save(folder / "held_out.npy", crops[0])
    shutil.copy(exported / f"{name}.npz", folder / "step.npz")
    flags = [*case.flags, f"--validation={folder / 'held_out.npy'}"]
    _run(runner, folder / "step.npz", folder / "crops.npy", folder / "run", *flags)
    return folder

  return run


@needs_jax
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", _CASES)
def test_the_runner_and_keras_have_the_same_losses_and_weights(name, finished):
  case, folder = _CASES[name], finished(name)
  rows = _rows(folder / "run")
  assert [int(row["step"]) for row in rows] == [*range(0, case.steps + 1, case.save_every)][1:]
  crops = _crops(case.compared, case.train)
  keras, held_out, trained = _train_with_keras(case.model, case.train, crops)
  assert len(keras) == case.compared
  for i in range(case.compared // case.save_every):
    # A row has the averages since the row before.
    for loss in keras[0]:
      value = np.mean([losses[loss] for losses in keras[i * case.save_every :][: case.save_every]])
      np.testing.assert_allclose(float(rows[i][loss]), value, rtol=1e-3)
  for loss, value in held_out.items():
    np.testing.assert_allclose(float(rows[i][f"val_{loss}"]), value, rtol=1e-3)
  if case.compared == case.steps:
    initial = step_file.load(folder / "step.npz").state
    state = step_file.load_state(folder / "run" / "state.npz", like=initial)
    for label, variable in variables.named(trained).items():
      before = initial[label].astype(np.float64)
      moved, expected = state[label] - before, variable.numpy() - before
      assert np.linalg.norm(moved - expected) <= 0.01 * np.linalg.norm(expected), variable.name


def _files(folder):
  return folder / "step.npz", folder / "crops.npy"


def _stop(number, runner, folder, output):
  """Starts the long run in another folder, stops it by a signal after a save; returns its step."""
  process = subprocess.Popen(
    _command(runner, *_files(folder), output, *_LONG.flags),
    stdout=subprocess.DEVNULL,
    cwd=runner.parent,
    env=_environment(),
  )
  while not (output / "state.npz").exists():
    assert process.poll() is None
    time.sleep(0.001)
  process.send_signal(number)
  status = process.wait(60)
  assert status == (-signal.SIGKILL if number == signal.SIGKILL else 0)
  with np.load(output / "state.npz") as state:
    return int(state[step_file.ITERATION])


@needs_jax
def test_a_run_that_is_killed_goes_on_as_if_it_had_not(finished, runner, tmp_path):
  folder = finished("many_rates")
  reached = _stop(signal.SIGKILL, runner, folder, tmp_path)
  assert 4 <= reached < _LONG.steps
  _run(runner, *_files(folder), tmp_path, *_LONG.flags)
  losses = [
    [(int(row["step"]), float(row["loss"])) for row in _rows(run)]
    for run in (tmp_path, folder / "run")
  ]
  np.testing.assert_allclose(*losses, rtol=1e-5)
  assert [step for step, _ in losses[0]] == list(range(4, _LONG.steps + 1, 4))


@needs_jax
def test_a_table_that_was_only_just_opened_gets_its_header(runner, tmp_path):
  (tmp_path / "metrics.csv").touch()
  program = """
import pathlib, run_step
table = run_step._Table(pathlib.Path("metrics.csv"))
table.forget_after(0)
table.add({"step": 4, "loss": 3.0})
table.add({"step": 8, "loss": 2.0})
open("metrics.csv", "a").write("1")
table.forget_after(4)
"""
  environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(runner.parent)}
  subprocess.run([_JAX_PYTHON, "-c", program], cwd=tmp_path, env=environment, check=True)
  assert _rows(tmp_path) == [{"step": "4", "loss": "3.0"}]


@needs_jax
def test_a_run_that_is_interrupted_saves_where_it_is(finished, runner, tmp_path):
  reached = _stop(signal.SIGINT, runner, finished("many_rates"), tmp_path)
  assert 4 <= reached < _LONG.steps
  assert int(_rows(tmp_path)[-1]["step"]) == reached


_RUNS = """
import json, sys
import run_step
ends = []
for arguments in json.loads(sys.argv[1]):
  sys.argv[1:] = arguments
  try:
    run_step.main()
    ends.append(None)
  except SystemExit as end:
    ends.append(end.code)
print("\\n" + json.dumps(ends))
"""


def _ends(runner, *runs):
  """Runs one after the other in one process; returns the text with which each one exits.

  Python shows such a text as a line of errors, and exits with status 1.
  """
  commands = [[str(word) for word in _command(runner, *arguments)[2:]] for arguments in runs]
  result = subprocess.run(
    [_JAX_PYTHON, "-c", _RUNS, json.dumps(commands)],
    cwd=runner.parent,
    env=_environment(),
    check=True,
    capture_output=True,
    text=True,
  )
  assert result.stderr == ""
  texts = json.loads(result.stdout.splitlines()[-1])
  assert len(texts) == len(runs)
  for text in texts:
    assert text.startswith("error: ") and "\n" not in text
  return texts


@needs_jax
def test_what_is_not_finite_is_not_saved(finished, runner, tmp_path):
  folder = finished("many_rates")
  validation = [f"--validation={folder / 'held_out.npy'}"]
  reasons = [
    (1e30, validation, "the validation is"),
    (1e30, [], "what the weights give is"),
    (np.inf, [], "the state is"),
  ]
  runs = []
  for number, (rate, flags, _) in enumerate(reasons):
    step = step_file.load(folder / "step.npz")
    step.state["learning_rate"] = np.float32(rate)
    step_file.save(tmp_path / f"{number}.npz", step)
    files = tmp_path / f"{number}.npz", folder / "held_out.npy", tmp_path / str(number)
    runs.append([*files, "--save_every=1", "--steps=1", *flags])
  for text, (*_, what), (_, _, run, *_) in zip(_ends(runner, *runs), reasons, runs):
    assert f"{what} not finite near step 1: " in text
    assert {path.name for path in run.iterdir()} == {"run.json"}


@needs_jax
@pytest.mark.usefixtures("eagerly")
def test_the_result_is_a_model_that_codes_and_that_keras_trains_on(finished, tmp_path):
  case, folder = _CASES["joint"], finished("joint")
  directory = import_state.import_state(
    folder / "step.npz", folder / "run", str(tmp_path / "model")
  )
  with np.load(folder / "run" / "state.npz") as state:
    kernel = bmshj_minnen.load_model(directory).g_ep.layers[0].kernel.numpy()
    assert any(np.array_equal(kernel, array) for array in state.values())
  image = bmshj_minnen.read_image(finding.held_out_photographs()[0])[:50, :70]
  codec = bmshj_minnen.load(directory)
  assert codec.decompress(codec.compress(image)).shape == image.shape
  steps = case.steps + 2
  loop.train(case.model, dataclasses.replace(case.train, model_dir=str(directory), steps=steps))
  assert [int(row["step"]) for row in _rows(directory)][-2:] == [case.steps, steps]


@needs_jax
@pytest.mark.usefixtures("eagerly")
def test_the_model_alone_is_small_and_enough(finished, tmp_path):
  folder = finished("many_rates")
  for name in ("model.npz", "run.json", "metrics.csv"):
    shutil.copy(folder / "run" / name, tmp_path)
  small, whole = (
    path.stat().st_size for path in (tmp_path / "model.npz", folder / "run" / "state.npz")
  )
  assert small < whole / 4
  models = [
    bmshj_minnen.load_model(
      import_state.import_state(folder / "step.npz", run, str(tmp_path / run.name / "model"))
    )
    for run in (tmp_path, folder / "run")
  ]
  for ours, exact in zip(*(model.trainable_variables for model in models)):
    np.testing.assert_allclose(ours, exact, rtol=1e-3, atol=1e-3)


def test_a_file_of_half_the_size_starts_from_nearly_the_same_weights(exported, tmp_path):
  step = step_file.load(exported / "many_rates.npz")
  step_file.save(tmp_path / "half.npz", step, half=True)
  step_file.save(tmp_path / "full.npz", step)
  half, full = step_file.load(tmp_path / "half.npz"), step_file.load(tmp_path / "full.npz")
  for name, value in step.state.items():
    np.testing.assert_array_equal(full.state[name], value)
    np.testing.assert_allclose(half.state[name], value, rtol=1e-3, atol=1e-6)
    assert half.state[name].dtype == value.dtype


@pytest.mark.usefixtures("eagerly")
def test_fine_tuning_starts_from_the_given_weights(fine_tuning, exported):
  source, _ = fine_tuning
  step = step_file.load(exported / "fine_tuning.npz")
  target = trainer.build(_FACTORIZED, _TRAIN)
  for name, variable in variables.named(target).items():
    variable.assign(step.state[name])
  x = tf.constant(_crops(1, _TRAIN)[0])
  np.testing.assert_allclose(source.validation_losses(x), target.validation_losses(x), rtol=1e-4)
  assert int(target.optimizer.iterations) == 0


def _instructions(path):
  """All instructions of the training step's program in a step file."""
  hlo = step_file.load(path).programs["train"].hlo
  module = hlo_pb2.HloModuleProto.FromString(hlo)
  return [i for computation in module.computations for i in computation.instructions]


_PRODUCTS = ("convolution", "dot")


@pytest.mark.parametrize("name", _CASES)
def test_products_are_rounded_to_tf32_only_where_that_is_allowed(name, exported):
  highest = xla_data_pb2.PrecisionConfig.HIGHEST
  exact = {
    set(i.precision_config.operand_precision) == {highest}
    for i in _instructions(exported / f"{name}.npz")
    if i.opcode in _PRODUCTS
  }
  assert exact == {not _CASES[name].tf32}


def test_bfloat16_is_for_the_transforms_and_not_for_the_likelihoods(exported):
  instructions = _instructions(exported / "fine_tuning.npz")
  types = {
    opcode: {i.shape.element_type for i in instructions if i.opcode == opcode}
    for opcode in ("convolution", "log", "logistic")
  }
  assert xla_data_pb2.BF16 in types["convolution"]
  assert types["log"] == types["logistic"] == {xla_data_pb2.F32}


@needs_jax
def test_wrong_input_is_one_line(finished, runner, tmp_path):
  step, crops = _files(finished("many_rates"))
  run = finished("many_rates") / "run"
  (tmp_path / "cut.npz").write_bytes(step.read_bytes()[:5000])
  (tmp_path / "empty").mkdir()
  np.save(tmp_path / "grey.npy", np.zeros((3, 64, 64), np.uint8))
  reasons = {
    (tmp_path / "no.npz", crops, tmp_path): "does not exist",
    (tmp_path / "cut.npz", crops, tmp_path): "not a whole",
    (run / "state.npz", crops, tmp_path): "not a step file",
    (*_files(finished("joint")), run): "of another step",
    (step, tmp_path / "empty", tmp_path): "none of the 0 files",
    (step, tmp_path / "grey.npy", tmp_path): "not uint8 [count, H, W, 3]",
    (step, tmp_path / "no", tmp_path): "neither a folder nor",
  }
  for text, reason in zip(_ends(runner, *reasons), reasons.values()):
    assert reason in text
