"""Makes a model directory from a run of `run_step`.

`python -m experiments.pjrt.import_state step.npz run models/joint`: the file of `export_step`, the
--output of `run_step`, and the model directory to write.
"""

import dataclasses
import json
import pathlib
import shutil

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import config as cfg
from bmshj_minnen.data import crops
from bmshj_minnen.training import checkpoints, run_directory, trainer
from bmshj_minnen.training.inputs import find_validation
from bmshj_minnen.training.train_config import TrainConfig
from experiments.pjrt import step_file, variables

_TYPICAL = flags.DEFINE_string(
  "typical_photographs", "", "A pattern of files; they set the ranges of the integer networks."
)


def import_state(
  step_path: pathlib.Path, run: pathlib.Path, model_dir: str, typical_photographs: str = ""
) -> pathlib.Path:
  """Writes a model directory, which `bmshj_minnen.train` can also continue.

  Args:
    step_path: the file of `export_step`.
    run: the folder of `run_step`; its model.npz, a sixth of the size, can replace its state.npz.
    model_dir: the directory to write.
    typical_photographs: a pattern, see `freeze`; empty: bundled photographs not trained on.

  Returns:
    `model_dir`.

  Raises:
    ValueError: files are missing, damaged or belong to different steps, or `model_dir` contains
      another model.
    DataError: no photograph is usable.
  """
  step = step_file.load(step_path)
  whole = run / "state.npz"
  state = step_file.load_state(whole if whole.exists() else run / "model.npz", like=step.state)
  if not whole.exists():  # model.npz contains the average weights, if there are any.
    averages = step.description["averages"].items()
    state.update({average: state[name] for name, average in averages})
  model_config = cfg.ModelConfig(**step.description["model"])
  config = dataclasses.replace(
    TrainConfig(**step.description["train"]),
    model_dir=model_dir,
    validation_glob=typical_photographs,
  )
  directory = pathlib.Path(model_dir)
  run_directory.check_same_model(model_config, directory)
  validation = find_validation(config)
  result = trainer.build(model_config, config)
  for name, variable in variables.named(result).items():
    variable.assign(state[name])
  run_directory.write_record(
    directory, model_config, config, run=json.loads((run / "run.json").read_text())
  )
  typical = next(iter(crops.validation_crops(validation.paths, config.crop, config.batch)))
  checkpoints.Checkpoints(result, directory, typical).save()
  shutil.copyfile(run / "metrics.csv", directory / "metrics.csv")
  return directory


def main(argv):
  """Command line -> one model directory."""
  if len(argv) != 4:
    raise app.UsageError("needs a step file, the folder of its run, and a model directory to write")
  logging.set_verbosity(logging.INFO)
  with startup.one_line_errors():
    step, run, model_dir = argv[1:]
    import_state(pathlib.Path(step), pathlib.Path(run), model_dir, _TYPICAL.value)
    print(f"Imported: {model_dir}")


if __name__ == "__main__":
  app.run(main)
