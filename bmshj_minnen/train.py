"""Trains a model: `python -m bmshj_minnen.train --lambda=0.01`."""

import dataclasses
import math
import os
import signal
import sys

from absl import flags, logging

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import config
from bmshj_minnen.command_line import shared_flags, usage
from bmshj_minnen.layers import quantizers
from bmshj_minnen.model_files import model_directory, widening
from bmshj_minnen.training import distribution, loop
from bmshj_minnen.training.train_config import (
  LATENTS,
  OPTIMIZERS,
  PRECISIONS,
  SCHEDULES,
  STRATEGIES,
  TrainConfig,
)

_LAMBDA = flags.DEFINE_float("lambda", 0.01, "λ of R + λD; D on the 0..255 scale, or 1 - MS-SSIM.")
_LAMBDA_RANGE = flags.DEFINE_list(
  "lambda_range", None, "A model for many rates instead: lowest and highest λ, such as 0.002,0.128."
)
_RATES = flags.DEFINE_integer(
  "rates", 7, "Values of λ in --lambda_range with learned gains.", lower_bound=2
)
_DEFAULTS = TrainConfig(model_dir="")
_MODEL = config.ModelConfig()
_MODEL_FLAGS = (
  "prior",
  "num_filters",
  "latent_channels",
  "networks",
  "context_support",
  "density",
  "components",
  "order",
)

shared_flags.define_path(
  "model_dir", None, "Folder for weights and logs (models/PRIOR-λ by default)."
)
flags.DEFINE_string(
  "prior",
  _MODEL.prior,
  f"Prior that predicts the latents: {', '.join(config.PRIORS)}.",
)
flags.DEFINE_integer("num_filters", _MODEL.num_filters, "N, channels inside the transforms.")
flags.DEFINE_integer("latent_channels", _MODEL.latent_channels, "M, channels of the latents.")
flags.DEFINE_string("networks", _MODEL.networks, "Networks: paper, or registered ones.")
flags.DEFINE_string(
  "density", _MODEL.density, "Density of y: gaussian, laplace, logistic, or a registered one."
)
flags.DEFINE_integer("components", _MODEL.components, "Densities in a mixture; 1: no mixture.")
flags.DEFINE_string(
  "order",
  _MODEL.order,
  "Order of coding: causal, checkerboard, channel_slices, or a registered one.",
)
flags.DEFINE_integer(
  "context_support", _MODEL.context_support, "Side of the kernel of g_cm, an odd number."
)
shared_flags.define_imports()
flags.DEFINE_enum("distortion", _DEFAULTS.distortion, config.DISTORTIONS, "D of the loss.")
shared_flags.define_path("train_glob", "", "Photographs to train on, such as 'photos/**/*.png'.")
shared_flags.define_path("validation_glob", "", "Photographs to validate on.")
flags.DEFINE_string("dataset", "", "A tensorflow-datasets name, such as clic.")
shared_flags.define_path("data_dir", "", "The folder of tensorflow-datasets.")
flags.DEFINE_integer("crop", _DEFAULTS.crop, "Side of the training crops, pixels.")
flags.DEFINE_bool("downscale", False, "Make JPEGs smaller by random factors before cropping.")
flags.DEFINE_integer("batch", _DEFAULTS.batch, "Crops per step.")
flags.DEFINE_integer("steps", _DEFAULTS.steps, "Length of the run.")
flags.DEFINE_enum(
  "optimizer", _DEFAULTS.optimizer, OPTIMIZERS, "Optimizer; muon needs fewer steps."
)
flags.DEFINE_float("learning_rate", _DEFAULTS.learning_rate, "Initial learning rate.")
flags.DEFINE_enum("schedule", _DEFAULTS.schedule, SCHEDULES, "Learning-rate schedule.")
flags.DEFINE_integer(
  "warmup", _DEFAULTS.warmup, "Steps over which the learning rate grows to that of the schedule."
)
flags.DEFINE_string(
  "quantizer",
  _DEFAULTS.quantizer,
  f"Quantizer in training: {', '.join(quantizers.names())}, or a registered one.",
)
flags.DEFINE_enum(
  "latents",
  _DEFAULTS.latents,
  LATENTS,
  "Latents in training; rounded ones, with --init_from, are for its end.",
)
flags.DEFINE_float("clip_norm", _DEFAULTS.clip_norm, "Bound on the gradient's norm; 0: no bound.")
flags.DEFINE_float(
  "average",
  _DEFAULTS.average,
  "Save a moving average of the weights that keeps this share of itself per step, such as 0.9995; "
  "0: save the last weights.",
)
flags.DEFINE_enum(
  "precision_policy",
  _DEFAULTS.precision_policy,
  PRECISIONS,
  "Precision of the convolutions.",
)
flags.DEFINE_enum("strategy", _DEFAULTS.strategy, STRATEGIES, "Devices and machines of the run.")
flags.DEFINE_integer("seed", _DEFAULTS.seed, "Seed of weights, crops and noise.")
shared_flags.define_path(
  "init_from",
  "",
  "A model directory to start from; its settings are the defaults of the model's flags, and M may "
  "be larger.",
)
shared_flags.define_path(
  "latents_of",
  "",
  "A model whose latents are stored, to train only a prior on them, with the model's N, M and "
  "gains.",
)
shared_flags.define_path("latents_dir", _DEFAULTS.latents_dir, "Folder for the stored latents.")
flags.DEFINE_integer("stored_crops", _DEFAULTS.stored_crops, "Crops whose latents are stored.")
flags.DEFINE_integer("save_every", _DEFAULTS.save_every, "Steps between checkpoints.")
flags.DEFINE_integer(
  "file_every",
  _DEFAULTS.file_every,
  "Every how many validations a crop is coded to a file, for its bits and PSNR; 0: never.",
)


def _gain_lambdas():
  """The λ with learned gains of a model for many rates, geometric; None for one rate."""
  if _LAMBDA_RANGE.value is None:
    return None
  try:
    low, high = map(float, _LAMBDA_RANGE.value)
    is_range = 0 < low < high < math.inf
  except ValueError:
    is_range = False
  if not is_range:
    raise ValueError("--lambda_range must be two increasing numbers above 0, such as 0.002,0.128")
  if flags.FLAGS["lambda"].present:
    raise ValueError("give either --lambda, for one rate, or --lambda_range, for many")
  steps = _RATES.value - 1
  return tuple(config.geometric(low, high, i / steps) for i in range(steps + 1))


def _model_config():
  """The model's config from the flags; flags that are absent come from the model to start from."""
  gains = _gain_lambdas()
  source_model = flags.FLAGS.init_from or flags.FLAGS.latents_of
  if not source_model:
    given = {name: flags.FLAGS[name].value for name in _MODEL_FLAGS}
    return config.ModelConfig(**given, gain_lambdas=gains)
  source = model_directory.load_config(source_model)
  given = {name: flags.FLAGS[name].value for name in _MODEL_FLAGS if flags.FLAGS[name].present}
  if gains:
    given["gain_lambdas"] = gains
  if given.get("latent_channels", 0) > source.latent_channels:
    source = widening.widened(source, given["latent_channels"])
  return dataclasses.replace(source, **given)


def _train_config(**given):
  names = {field.name for field in dataclasses.fields(TrainConfig)} - set(given)
  return TrainConfig(**given, **{name: flags.FLAGS[name].value for name in names})


def configs() -> tuple[config.ModelConfig, TrainConfig]:
  """The configs from the parsed flags.

  Raises:
    ValueError: the flags contradict each other, or a value is out of range.
  """
  model_config = _model_config()
  rate = f"{_LAMBDA.value:g}"
  if model_config.gain_lambdas:
    rate = f"{model_config.gain_lambdas[0]:g}-{model_config.gain_lambdas[-1]:g}"
  model_dir = flags.FLAGS.model_dir or f"models/{model_config.prior}-{rate}"
  return model_config, _train_config(lmbda=_LAMBDA.value, model_dir=model_dir)


def main(argv):
  """Flags -> one library call."""
  usage.refuse_arguments(argv)
  # SIGTERM, at the end of a job or a machine, ends the run like Ctrl-C: it is saved.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  with startup.one_line_errors():
    model_config, train_config = configs()
    try:
      loop.train(model_config, train_config)
    except distribution.WorkerLostError as error:
      logging.warning("Starting again from the last checkpoint: another machine is gone: %s", error)
      logging.flush()
      os.execv(sys.executable, [sys.executable, "-m", "bmshj_minnen.train", *sys.argv[1:]])
    print(f"Trained: {train_config.model_dir}")


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
