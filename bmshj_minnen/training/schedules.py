"""The learning rate of each step."""

from typing import Callable, Union

import tensorflow as tf

from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["learning_rate"]

_Schedule = tf.keras.optimizers.schedules.LearningRateSchedule


def learning_rate(config: TrainConfig, own: object = None) -> Union[float, _Schedule]:
  """The learning rate for Keras: a number, or a function of the step.

  Args:
    config: names the schedule, and the steps over which it is warmed up: step i, from 0, has
      (i + 1) / warmup of the rate that it would have.
    own: `OwnParts.schedule`, in place of the schedule of the config; None: the config's.
  """
  rate = _of_config(config) if own is None else own
  if not config.warmup and (isinstance(rate, _Schedule) or not callable(rate)):
    return rate
  return _Function(rate, config.warmup)


def _of_config(config):
  schedules = tf.keras.optimizers.schedules
  if config.schedule == "cosine":
    return schedules.CosineDecay(config.learning_rate, config.steps, alpha=0.01)
  if config.schedule == "step":
    return schedules.PiecewiseConstantDecay(
      [config.steps * 4 // 5], [config.learning_rate, config.learning_rate / 10]
    )
  return config.learning_rate


class _Function(_Schedule):
  """A number or a function of the step, which grows linearly to its value over `warmup` steps."""

  def __init__(self, rate: Union[float, Callable[[tf.Tensor], tf.Tensor]], warmup: int):
    self._rate, self._warmup = rate, warmup

  def __call__(self, step):
    step = tf.cast(step, tf.float32)  # Exact up to 2^24.
    rate = tf.cast(self._rate(step) if callable(self._rate) else self._rate, tf.float32)
    return rate * tf.minimum(1.0, (step + 1) / self._warmup) if self._warmup else rate

  def get_config(self):
    return {"rate": self._rate, "warmup": self._warmup}
