"""A model on disk: its configuration, its weights and its frozen entropy coder.

Instead of a model directory, the name of a shipped model can be given, see `catalogue`.
"""

import dataclasses
import json
import pathlib
from typing import Any, Optional, Union

import numpy as np
import tensorflow as tf

from bmshj_minnen import checks
from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.coding.codec import Codec, check_limits
from bmshj_minnen.coding.graph_codec import tensorflow_codec
from bmshj_minnen.coding.refinement import Refiner
from bmshj_minnen.effort import steps_of
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.layers.precision import precision_policy
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import array_files, catalogue, snapshots, weights, widening
from bmshj_minnen.model_files.array_files import CODER, WEIGHTS
from bmshj_minnen.model_files.codec_files import (
  CODER_FINGERPRINT,
  Shipped,
  read_prior,
  read_weights,
  set_origin,
)
from bmshj_minnen.runtime import precisions
from bmshj_minnen.runtime.forking import refuse_forked

__all__ = [
  "RECORD",
  "has_weights",
  "load",
  "load_config",
  "load_for",
  "load_model",
  "load_weights",
  "model_for_coding",
  "read_record",
  "save",
]

RECORD = "train.json"  # Flags, versions and data of the training run.
_REMEDY = "copy the model again, or delete this file, which records the settings of its training"
CODEC_FILES = (WEIGHTS, CODER)  # Files that `load` reads.


def model_for_coding(
  config: cfg.ModelConfig,
  arrays: dict[str, np.ndarray],
  precision: str = cfg.CODEC_PRECISIONS[0],
) -> Model:
  """A model that can compute only g_a, g_s and h_a.

  Args:
    config: config of the model.
    arrays: weights of the model, by the names of `weights`.
    precision: precision of most of g_a and g_s, one of `config.CODEC_PRECISIONS`. "bfloat16" halves
      the time on processors that support it (AVX512-BF16, AMX), and pixels differ by rounding;
      "auto" is "bfloat16" on those processors and "float32" on others. Files written with one
      precision can be read with the other.

  Raises:
    ValueError: the precision is unknown, or the weights are of another model.
  """
  policy = _policy(precision)
  with precision_policy(policy):
    model = Model(config, gdn_dtype=policy, has_variables=False)
    weights.hold(model, arrays)
  return model


def _policy(precision):
  resolved = precisions.resolve(precision)
  return resolved if resolved == "float32" else f"mixed_{resolved}"


def save(model: Model, directory: Union[str, pathlib.Path], typical_images: tf.Tensor) -> None:
  """Writes a model for `load` and `load_model`; each file is written completely or not at all.

  Args:
    model: a built model.
    directory: the model directory; created if it is missing.
    typical_images: [B, H, W, 3] in 0..255, see `freeze`.

  Raises:
    NotFiniteError: a weight or an activation is not finite; nothing is written.
    OSError: a file cannot be written; an older model in the directory stays.
    ValueError: entropy coding does not support a layer of h_s or g_ep; nothing is written.
  """
  snapshots.take(model, typical_images).write(pathlib.Path(directory))


def has_weights(directory: pathlib.Path) -> bool:
  """Whether a directory contains a model, with or without finished training."""
  return (directory / WEIGHTS).exists()


def load(
  model: str = catalogue.DEFAULT,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  precision: str = cfg.CODEC_PRECISIONS[0],
  refine: int = 0,
  lmbda: Optional[float] = None,
  quality: Optional[float] = None,
  effort: int = 0,
) -> Codec:
  """The codec of a model.

  Args:
    model: a directory that training wrote, or the name of a shipped model.
    max_pixels: maximum number of pixels of an image that `decompress` accepts.
    memory: bytes that the networks may take in one call, approximately.
    precision: precision of most of g_a and g_s, see `model_for_coding`.
    refine: steps of gradient descent that `compress` takes per image, see `refinement`.
    lmbda: λ of the refinement; None: the λ of the training, or of the quality.
    quality: default quality of a model for many rates; None: `quality.DEFAULT_QUALITY`.
    effort: 0 (none) to 9 in place of `refine`, see `bmshj_minnen.effort`.

  Raises:
    TypeError: the quality or λ is not a number, or the steps or the effort not a whole number.
    ValueError: the model does not exist; a limit is not a whole number; the quality, λ, the steps
      or the effort are not valid, or both of the last two are given; the files are of different
      models; or the λ of the refinement is unknown.
  """
  refuse_forked()
  check_limits(max_pixels, memory)
  refine = steps_of(effort, refine)
  directory = catalogue.find(model)
  frozen = read_prior(directory)
  return _codec(directory, frozen, max_pixels, memory, precision, refine, lmbda, quality)


def _codec(directory, frozen, max_pixels, memory, precision, refine=0, lmbda=None, quality=None):
  arrays = read_weights(directory, frozen.fingerprint)
  _refuse_export(directory, arrays)
  refiner = _refiner(directory, frozen.config, arrays, precision, refine, lmbda) if refine else None
  _policy(precision)  # Its errors are not the model's.
  try:
    coding_model = model_for_coding(frozen.config, arrays, precision)
  except ValueError as error:
    raise ValueError(f"{directory}: {error}") from error
  codec = tensorflow_codec(
    frozen, coding_model, refiner, max_pixels=max_pixels, memory=memory, quality=quality
  )
  set_origin(codec, load, directory, max_pixels, memory, precision, refine, lmbda)
  return codec


def _refuse_export(directory, arrays):
  if not any(name.startswith("g_a/") for name in arrays):
    raise ValueError(
      f"{directory} has no weights of g_a: if it was exported for ONNX Runtime, give the model that"
      " was exported"
    )


def _refiner(directory, config, arrays, precision, steps, lmbda):
  trained_for, distortion = _objective(directory)
  lmbda = None if lmbda is None else checks.positive("lmbda", lmbda)
  if config.gain_lambdas:
    trained_for = None  # The quality determines λ.
  elif lmbda is None and trained_for is None:
    raise ValueError(
      f"{directory} has no {RECORD} that says for which λ of R + λD it was trained: give --lambda"
    )
  with precision_policy(_policy(precision)):
    model = Model(config, has_variables=False)
    weights.hold_for_refinement(model, arrays)
  return Refiner(model, trained_for if lmbda is None else lmbda, distortion, steps)


def _objective(directory):
  """λ (None if unknown) and the distortion that a model was trained for."""
  record = read_record(directory)
  if record is None:
    return None, cfg.DISTORTIONS[0]
  flags = record["flags"]
  try:
    # A loss of the caller's own is not R + λD, so its λ means something else.
    lmbda = None if "own_loss" in flags else flags.get("lmbda")
    lmbda = None if lmbda is None else checks.positive("lmbda", lmbda)
    checks.choice("distortion", flags["distortion"], cfg.DISTORTIONS)
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{directory / RECORD} is damaged ({_reason(error)}): {_REMEDY}") from error
  return lmbda, flags["distortion"]


def read_record(directory: pathlib.Path) -> Optional[dict[str, Any]]:
  """The record of a model's training: `flags` are a mapping; None if there is no record.

  Raises:
    OSError: the record cannot be read.
    ValueError: it is damaged; the message names the file and the remedy.
  """
  path = directory / RECORD
  try:
    record = json.loads(path.read_bytes())
    earlier = record.get("earlier_flags", [])
    if not isinstance(record["flags"], dict) or not isinstance(earlier, list):
      raise TypeError("its flags are not a mapping")
    return record
  except FileNotFoundError:
    return None
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{path} is damaged ({_reason(error)}): {_REMEDY}") from error


def _reason(error):
  return f"{error.args[0]} is missing" if isinstance(error, KeyError) else error


def load_for(
  file: bytes,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  precision: str = cfg.CODEC_PRECISIONS[0],
) -> Codec:
  """The codec of the shipped model that wrote a file.

  Args:
    file: content of a compressed file.
    max_pixels: maximum number of pixels of an image that `decompress` accepts.
    memory: bytes that the networks may take in one call, approximately.
    precision: precision of most of g_a and g_s, see `model_for_coding`.

  Raises:
    BitstreamError: the file is damaged.
    ValueError: no shipped model wrote it, or a limit is not a whole number.
  """
  refuse_forked()
  check_limits(max_pixels, memory)
  return _SHIPPED.codec_for(file, max_pixels, memory, precision)


def load_config(model: str) -> cfg.ModelConfig:
  """The config of a model, which determines names and shapes of the weights.

  Args:
    model: a directory that training wrote, or the name of a shipped model.

  Raises:
    ValueError: the model does not exist.
  """
  directory = catalogue.find(model)
  if not (directory / snapshots.CONFIG).exists():
    raise ValueError(f"{directory} is not a model directory: it has no {snapshots.CONFIG}")
  return cfg.ModelConfig.load(directory / snapshots.CONFIG)


def load_model(model: str) -> Model:
  """Builds a model and loads its weights.

  Args:
    model: a directory that training wrote, or the name of a shipped model.

  Raises:
    ValueError: the model does not exist, or its weights are missing or damaged.
  """
  refuse_forked()
  result = Model(load_config(model))
  load_weights(result, model)
  return result


def load_weights(model: Model, source: str) -> None:
  """Assigns the weights of another model to a built model.

  If `model` has more latent channels, but the same shape otherwise, the weights are embedded, see
  `widening`. A model for many rates that gets weights of a model for one rate has gains of 1 at
  that rate.

  Args:
    model: a built model.
    source: model directory of the weights, or the name of a shipped model.

  Raises:
    ValueError: the weights do not exist, or belong to a model of another shape.
  """
  directory = catalogue.find(source)
  arrays, config = array_files.read(directory, WEIGHTS), load_config(source)
  arrays.pop(CODER_FINGERPRINT, None)
  _refuse_export(directory, arrays)
  if model.gains is not None and not config.gain_lambdas:
    lmbda = _objective(directory)[0]
    model.gains.reset(model.config.middle_lambda if lmbda is None else lmbda)
    config = dataclasses.replace(config, gain_lambdas=model.config.gain_lambdas)
    of_gains = {k: v for k, v in weights.to_arrays(model).items() if k.startswith("gains/")}
    arrays = {**arrays, **of_gains}
  if widening.can_widen(config, model.config):
    arrays = widening.widen(arrays, config, weights.to_arrays(model), model.config)
  try:
    weights.assign(model, arrays)
  except ValueError as error:
    others = config.differences(model.config)
    if not others:
      raise ValueError(f"{directory / WEIGHTS}: {error}") from error
    raise ValueError(
      f"{directory} is another model: {', '.join(others)}: give the same settings"
    ) from error


_SHIPPED = Shipped(_codec)
