"""The names that a trainer's variables have outside TensorFlow."""

import tensorflow as tf

from bmshj_minnen.training.trainer import Trainer

__all__ = ["averages", "named"]


def named(trainer: Trainer) -> dict[str, tf.Variable]:
  """All state of a training step, in an order that depends on the configurations alone.

  Names are numbers, because Keras's own names depend on other variables of the process.
  """
  parts = {"model": trainer.model.variables, "optimizer": trainer.optimizer.variables}
  return {
    f"{part}/{i:03d}": variable
    for part, variables in parts.items()
    for i, variable in enumerate(variables)
  }


def averages(trainer: Trainer) -> dict[str, str]:
  """Names of the model's variables -> names of their moving averages; empty without any."""
  names = {id(variable): name for name, variable in named(trainer).items()}
  pairs = zip(trainer.model.trainable_variables, trainer.averages)
  return {names[id(variable)]: names[id(average)] for variable, average in pairs}
