"""The training step: one definition, for Keras's `fit` and for other loops."""

import contextlib
import itertools
from collections.abc import Iterator
from typing import Optional

import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.freezing import check
from bmshj_minnen.layers import noise, quantizers
from bmshj_minnen.layers.precision import precision_policy
from bmshj_minnen.losses import Losses, losses, rate_losses
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import model_directory
from bmshj_minnen.pixels import to_uint8
from bmshj_minnen.runtime.forking import refuse_forked
from bmshj_minnen.runtime.graph import without_autograph
from bmshj_minnen.training import stored_latents
from bmshj_minnen.training.muon import Muon
from bmshj_minnen.training.own_parts import Batch, OwnParts
from bmshj_minnen.training.schedules import learning_rate
from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["Trainer", "build"]

# Models for many rates: number of rates in a validation, and losses that are shown for each.
_VALIDATION_RATES = 4
_SHOWN = ("loss", "bpp", "distortion")
_LAMBDA_STREAM = 1 << 30  # Distinct from the seeds of the noise.
_NOTHING = OwnParts()
_OPTIMIZERS = {"adam": tf.keras.optimizers.Adam, "muon": Muon}


class Trainer(tf.keras.Model):
  """A model with its loss and optimizer; `fit` calls `train_step` and `test_step`."""

  def __init__(self, model: Model, train_config: TrainConfig, own: OwnParts = _NOTHING):
    super().__init__()
    self.model = model
    self.train_config = train_config
    self._own_loss = own.loss
    self._own_metrics = dict(own.metrics)
    self._means_of_own = [tf.keras.metrics.Mean(name) for name in own.metrics]
    self._means = [tf.keras.metrics.Mean(name) for name in Losses._fields]
    self._means_of_rates = {
      lmbda: [tf.keras.metrics.Mean(f"{name}_{lmbda:.3g}") for name in _SHOWN]
      for lmbda in self.validation_lambdas
    }

  @property
  def validation_lambdas(self) -> list[float]:
    """Values of λ in the validation of a model for many rates; empty for one rate."""
    if not self.model.config.gain_lambdas:
      return []
    # The distance to the ends of the range is half the distance between values.
    parts = [(i + 0.5) / _VALIDATION_RATES for i in range(_VALIDATION_RATES)]
    return [self.model.config.lambda_at(part) for part in parts]

  @property
  def metrics(self) -> list[tf.keras.metrics.Metric]:
    """Means of the losses, which `fit` resets before each epoch and each validation."""
    of_rates = itertools.chain(*self._means_of_rates.values())
    return [*self._means, *of_rates, *self._means_of_own]

  @property
  def own_names(self) -> list[str]:
    """Names of the caller's metrics, which may have no value for some pictures."""
    return list(self._own_metrics)

  def call(self, x: tf.Tensor) -> tf.Tensor:
    """Reconstructs a batch with rounding: [B, H, W, 3] in 0..255 -> [B, H, W, 3] uint8."""
    return to_uint8(self.model.forward_rounded(x)[0])

  def load_initial_weights(self) -> None:
    """Loads the weights of `init_from`, if it is set.

    Raises:
      ValueError: the directory does not contain weights of a model with this shape.
    """
    if self.train_config.init_from:
      model_directory.load_weights(self.model, self.train_config.init_from)
      for average, variable in zip(self.averages, self.model.trainable_variables):
        average.assign(variable)

  @property
  def averages(self) -> list[tf.Variable]:
    """Moving averages of the trainable variables, in their order; empty without `average`."""
    if not self.train_config.average:
      return []
    return list(self._inner_optimizer._model_variables_moving_average)

  @property
  def saved_variables(self) -> list[tf.Variable]:
    """All variables in a checkpoint: the variables of the model and of its optimizer."""
    return [*self.model.variables, *self._inner_optimizer.variables]

  @property
  def _inner_optimizer(self):
    return getattr(self.optimizer, "inner_optimizer", self.optimizer)

  @property
  def learning_rate(self) -> float:
    """The learning rate of the last step."""
    # Several devices have a variable each, with the same value.
    return float(tf.convert_to_tensor(self._inner_optimizer.learning_rate))

  def set_learning_rate(self, rate: float) -> None:
    """Replaces a constant learning rate."""
    self._inner_optimizer.learning_rate.assign(rate)

  @contextlib.contextmanager
  def averaged(self) -> Iterator[None]:
    """In this context, the model has the averaged weights, if `average` is set."""
    variables = self.model.trainable_variables if self.averages else []
    last = [variable.numpy() for variable in variables]
    try:
      for variable, average in zip(variables, self.averages):
        variable.assign(average)
      yield
    finally:
      for variable, value in zip(variables, last):
        variable.assign(value)

  def evaluate(self, *args, **kwargs):
    """Keras's `evaluate`, with the averaged weights if `average` is set."""
    with self.averaged():
      return super().evaluate(*args, **kwargs)

  def _weighted_losses(self, x, outputs, lmbda, weights=1.0):
    """The losses, weighted per image; `lmbda`: a number, [B], or None for the λ of the config."""
    lmbda = self.train_config.lmbda if lmbda is None else lmbda
    result = losses(x, *outputs, lmbda, self.train_config.distortion, weights)
    if self._own_loss is None:
      return result
    own = self._own_loss(Batch(tf.cast(x, tf.float32), *outputs, lmbda))
    return result._replace(loss=tf.reduce_mean(weights * tf.cast(own, tf.float32)))

  def _rate_weights(self, lmbda):
    return (lmbda / self.model.config.middle_lambda) ** cfg.RATE_WEIGHT_EXPONENT

  def _draw_lambdas(self, x, seed):
    """λ per image, [B], log-uniform in the range of the model; None for one rate."""
    if not self.model.config.gain_lambdas:
      return None
    seed = tf.bitwise.bitwise_xor(seed, [_LAMBDA_STREAM, 0])
    return self.model.config.lambda_at(noise.uniform(tf.shape(x)[:1], seed) + 0.5)

  def gradient_step(self, x: tf.Tensor) -> Losses:
    """Takes one step of gradient descent; the noise depends only on the seed and the step.

    All state is in the variables of the model and of the optimizer.

    Args:
      x: [B, H, W, 3] in 0..255, of any dtype, H and W multiples of 64; with `latents_of`, stored
        latents [B, h, w, M]. Under a `tf.distribute` strategy, the replica's part of the batch; all
        replicas take the same step, for the whole batch.

    Returns:
      The losses of `x`, scalars.
    """
    step = tf.cast(self.optimizer.iterations, tf.int32)
    seed = tf.stack([tf.constant(self.train_config.seed), step])
    with tf.GradientTape() as tape:
      result = self._training_losses(x, seed, self._draw_lambdas(x, seed))
      # The optimizer sums the gradients of the replicas before it clips them.
      loss = result.loss / tf.distribute.get_strategy().num_replicas_in_sync
      if self._scales_loss:
        loss = self.optimizer.get_scaled_loss(loss)
    variables = self.model.trainable_variables
    gradients = tape.gradient(loss, variables)
    if self._scales_loss:
      gradients = self.optimizer.get_unscaled_gradients(gradients)
    # On rounded latents, g_a and h_a have no gradients.
    self.optimizer.apply_gradients([(g, v) for g, v in zip(gradients, variables) if g is not None])
    return result

  def _training_losses(self, x, seed, lmbda):
    if self.train_config.latents_of:
      y = tf.cast(x, tf.float32)
      rate = self.model.rate_of_latents(y, seed, lmbda, self.train_config.quantizer)
      return rate_losses(y, rate, 1.0 if lmbda is None else self._rate_weights(lmbda))
    weights = 1.0 if lmbda is None else self._rate_weights(lmbda)
    if self.train_config.latents == "rounded":
      return self._weighted_losses(x, self.model.forward_straight_through(x, lmbda), lmbda, weights)
    outputs = self.model(x, seed=seed, lmbda=lmbda, quantizer=self.train_config.quantizer)
    return self._weighted_losses(x, outputs, lmbda, weights)

  @property
  def _scales_loss(self):
    return isinstance(self.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

  def validation_losses(self, x: tf.Tensor, lmbda: Optional[float] = None) -> Losses:
    """The losses with rounding instead of noise; changes no state.

    Args:
      x: [B, H, W, 3] in 0..255.
      lmbda: λ of a model for many rates; None: the middle of its range.

    Returns:
      The losses of `x`, scalars.
    """
    return self._weighted_losses(x, *self._rounded(x, lmbda))

  def _rounded(self, x, lmbda=None):
    """Outputs of the model with rounding, and their λ, None for one rate."""
    if not self.model.config.gain_lambdas:
      return self.model.forward_rounded(x), None
    lmbda = self.model.config.middle_lambda if lmbda is None else lmbda
    return self.model.forward_rounded(x, tf.fill(tf.shape(x)[:1], lmbda)), lmbda

  def train_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """The training step of `fit`; `x` as in `gradient_step`; returns metric name -> mean."""
    return self._updated_means(self._means, without_autograph(self.gradient_step, x), 1)

  def validation_values(self, x: tf.Tensor) -> list[tf.Tensor]:
    """Values for `metrics`: `validation_losses`, some losses at each λ, and the caller's own.

    Args:
      x: [B, H, W, 3] in 0..255.

    Returns:
      Scalars in the order of `metrics`.
    """
    outputs, middle = self._rounded(x)
    values = list(self._weighted_losses(x, outputs, middle))
    for lmbda in self.validation_lambdas:
      at_rate = self.validation_losses(x, lmbda)
      values += [getattr(at_rate, name) for name in _SHOWN]
    batch = Batch(tf.cast(x, tf.float32), *outputs, middle or self.train_config.lmbda)
    return [*values, *(tf.reduce_mean(own(batch)) for own in self._own_metrics.values())]

  def test_step(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """The validation step of `fit`: [B, H, W, 3] in 0..255 -> metric name -> mean."""
    values = without_autograph(self.validation_values, x)
    return self._updated_means(self.metrics, values, tf.shape(x)[0])

  @staticmethod
  def _updated_means(metrics, values, weight):
    for metric, value in zip(metrics, values):
      metric.update_state(value, sample_weight=weight)
    return {metric.name: metric.result() for metric in metrics}


def build(model_config: cfg.ModelConfig, config: TrainConfig, own: OwnParts = _NOTHING) -> Trainer:
  """A compiled trainer with random weights and all variables created, including the optimizer's.

  This also seeds Python, NumPy and TensorFlow.

  Args:
    model_config: config of the model.
    config: config of the run.
    own: the caller's loss, metrics and schedule; its other parts are for the loop.

  Raises:
    ValueError: the parts contradict the config, the quantizer is unknown, a network returns a wrong
      shape, entropy coding cannot compute a network, or the transforms of `latents_of` have another
      shape.
  """
  refuse_forked()
  quantizers.check(config.quantizer)
  own.check(config)
  tf.keras.utils.set_random_seed(config.seed)
  with precision_policy(config.precision_policy):
    trainer = Trainer(Model(model_config), config, own)
  if config.latents_of:
    stored_latents.load_transforms(trainer.model, config.latents_of)
  check(trainer.model)
  optimizer = _OPTIMIZERS[config.optimizer](
    learning_rate(config, own.schedule),
    global_clipnorm=config.clip_norm or None,
    use_ema=config.average > 0,
    ema_momentum=config.average,
  )
  # Keras's `fit` would replace the weights by their averages at its end, and continue from these.
  optimizer.finalize_variable_values = lambda _: None
  if config.precision_policy == "mixed_float16":
    # Without scaling, gradients below float16's smallest number would be lost.
    optimizer = tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
  optimizer.build(trainer.model.trainable_variables)
  trainer.compile(optimizer=optimizer)
  return trainer
