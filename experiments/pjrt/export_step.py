"""Writes a training step as an XLA program: `python -m experiments.pjrt.export_step --lambda=0.01`.

Takes the flags of `bmshj_minnen.train`; flags about data have no effect here.
"""

import dataclasses
import pathlib

from absl import app, flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen import train
from bmshj_minnen.command_line import usage
from bmshj_minnen.losses import Losses
from bmshj_minnen.runtime.graph import without_autograph
from bmshj_minnen.training import trainer
from bmshj_minnen.training.train_config import TrainConfig
from experiments.pjrt import step_file, variables

_OUTPUT = flags.DEFINE_string("output", "step.npz", "The file to write.")
_TF32 = flags.DEFINE_bool("tf32", True, "Whether float32 products may be rounded to TF32.")

_HALF = flags.DEFINE_bool("half", False, "Round the first weights to float16: half the file size.")

_LEARNING_RATE = "learning_rate"  # Keras keeps it in a variable that each step writes.


def export(
  model_config: cfg.ModelConfig, config: TrainConfig, tf32: bool = True
) -> step_file.StepFile:
  """Exports the training step and the validation of a run, with its first state.

  Args:
    model_config, config: the run's; seed, schedule, batch and crop become part of the programs.
    tf32: whether devices with TF32 may use it in place of float32.

  Raises:
    ValueError: `config.init_from` does not contain the weights of such a model.
  """
  # XLA takes the operand precision of convolutions and products from this switch.
  tf.config.experimental.enable_tensor_float_32_execution(tf32)
  run = trainer.build(model_config, config)
  run.load_initial_weights()
  named, averages = variables.named(run), variables.averages(run)
  crops = [config.batch, config.crop, config.crop, 3]
  validated = [metric.name for metric in run.metrics]
  programs = {
    "train": _compile(run.gradient_step, crops, named, Losses._fields, list(named)),
    "validate": _compile(run.validation_values, [1, *crops[1:]], named, validated),
  }
  # Validation uses the average weights, if there are any.
  validate = programs["validate"]
  validate.arguments[:] = [averages.get(name, name) for name in validate.arguments]
  state = {name: variable.numpy() for name, variable in named.items()}
  if _LEARNING_RATE in programs["train"].arguments:
    state[_LEARNING_RATE] = run.optimizer.learning_rate.numpy()
  description = {
    "model": model_config.fields(),
    "train": dataclasses.asdict(config),
    "averages": averages,
    "tf32": tf32,
    "tensorflow": tf.__version__,
  }
  return step_file.StepFile(description, programs, state)


def _compile(function, shape, named, losses, results=()):
  """An XLA program that maps crops and variables to `losses` and the variables in `results`."""

  @tf.function(jit_compile=True, input_signature=[tf.TensorSpec(shape, tf.uint8)])
  def program(x):
    return [*without_autograph(function, x), *(named[name].read_value() for name in results)]

  concrete = program.get_concrete_function()
  names = {id(variable.handle): name for name, variable in named.items()}
  arguments = ["x"]
  for captured in concrete.captured_inputs:
    # The learning rate is the only variable outside the optimizer's own list.
    arguments.append(names.get(id(captured), _LEARNING_RATE))
  hlo = program.experimental_get_compiler_ir(tf.TensorSpec(shape, tf.uint8))(stage="hlo_serialized")
  return step_file.Program(hlo, arguments, [*losses, *results])


def main(argv):
  """Flags -> one file."""
  usage.refuse_arguments(argv)
  logging.set_verbosity(logging.INFO)
  with startup.one_line_errors():
    path = pathlib.Path(_OUTPUT.value)
    step_file.save(path, export(*train.configs(), _TF32.value), _HALF.value)
    print(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
  app.run(main)
