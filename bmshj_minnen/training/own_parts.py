"""Parts of a run that a caller brings, in place of those that `TrainConfig` names."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional, Union

import tensorflow as tf

from bmshj_minnen.losses import Losses
from bmshj_minnen.model import Rate
from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["Batch", "OwnParts"]


class Batch(NamedTuple):
  """Photographs, their reconstructions and their rates: the argument of losses and metrics.

  Attributes:
    x: [B, H, W, 3] float32 in 0..255.
    x_hat: [B, H, W, 3] float32 on the 0..255 scale, not clipped.
    rate: bits of each photograph, two [B] float32.
    lmbda: λ, a number for all photographs or [B] float32.
  """

  x: tf.Tensor
  x_hat: tf.Tensor
  rate: Rate
  lmbda: Union[float, tf.Tensor]

  @property
  def bpp(self) -> tf.Tensor:
    """Bits per pixel of each photograph, [B] float32."""
    pixels = tf.cast(tf.shape(self.x)[1] * tf.shape(self.x)[2], tf.float32)
    return (self.rate.y_bits + self.rate.z_bits) / pixels


@dataclasses.dataclass(frozen=True)
class OwnParts:
  """The caller's parts of a run; each may be absent.

  Attributes:
    loss: a `Batch` -> the loss of each photograph, [B] or a scalar, in place of R + λD.
    metrics: name -> a function of a `Batch` to [B] or a scalar, for validations.
    dataset: batches [B, H, W, 3] in 0..255, H and W multiples of 64, of any dtype; or a function
      from the first step of a run to such a dataset, which then has a batch for every later step.
      The function is called after TensorFlow's global seed is set to that of the run.
    schedule: a learning rate: a number, a schedule of Keras, or a function of the step (a scalar
      float32) to a scalar.
    callbacks: callbacks of Keras, whose `model` is the `Trainer`. They come before the run is
      saved, so that numbers that they add to the logs of an epoch get into TensorBoard and
      metrics.csv.
  """

  loss: Optional[Callable[[Batch], tf.Tensor]] = None
  metrics: Mapping[str, Callable[[Batch], tf.Tensor]] = dataclasses.field(default_factory=dict)
  dataset: Union[None, tf.data.Dataset, Callable[[int], tf.data.Dataset]] = None
  schedule: Union[
    None,
    float,
    tf.keras.optimizers.schedules.LearningRateSchedule,
    Callable[[tf.Tensor], tf.Tensor],
  ] = None
  callbacks: Sequence[tf.keras.callbacks.Callback] = ()

  def check(self, config: TrainConfig) -> None:
    """Checks that the parts do not contradict the config.

    Raises:
      ValueError: the config names a dataset, too; stored latents have no pictures for a loss or
        another source for a dataset; or a metric has the name of a loss.
    """
    if self.dataset is not None and (config.dataset or config.train_glob or config.latents_of):
      raise ValueError("with a dataset of your own, leave out dataset, train_glob and latents_of")
    if self.loss is not None and config.latents_of:
      raise ValueError("with latents_of, no picture is made in training: leave out the loss")
    if self.loss is not None and not callable(self.loss):
      raise ValueError("the loss must be a function of a Batch")
    taken = set(self.metrics) & set(Losses._fields)
    if taken:
      raise ValueError(f"{', '.join(sorted(taken))} is a loss: give the metric another name")

  def names(self) -> dict[str, Any]:
    """Part -> the name of what was given, for the record of the run; empty if nothing was."""
    given = {
      "own_loss": self.loss and _name(self.loss),
      "own_metrics": {name: _name(metric) for name, metric in self.metrics.items()},
      "own_dataset": None if self.dataset is None else _name(self.dataset),
      "own_schedule": None if self.schedule is None else _name(self.schedule),
      "own_callbacks": [_name(callback) for callback in self.callbacks],
    }
    return {part: name for part, name in given.items() if name}


def _name(thing):
  if isinstance(thing, (int, float)):
    return repr(thing)
  named = thing if hasattr(thing, "__qualname__") else type(thing)
  return f"{named.__module__}.{named.__qualname__}"
