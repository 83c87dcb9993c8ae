"""A model on disk: its configuration, its weights and its frozen entropy coder.

Wherever a model directory is read, the name of one that ships does as well, see `catalogue`.
"""

import dataclasses
import functools
import io
import json
import pathlib
import threading
import zipfile
from typing import Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import bitstream, tiling
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.coding.freezing import freeze
from bmshj_minnen.coding.frozen_prior import FrozenPrior
from bmshj_minnen.coding.refinement import Refiner
from bmshj_minnen.model import Model, precision_policy
from bmshj_minnen.model_files import catalogue, weights, widening
from bmshj_minnen.photographs import outputs

__all__ = [
  "RECORD",
  "create_variables",
  "has_weights",
  "load",
  "load_config",
  "load_for",
  "load_model",
  "load_weights",
  "save",
  "save_config",
  "shipped_name",
]

_CONFIG = "config.json"
_WEIGHTS = "weights.npz"
_CODER = "coder.npz"
RECORD = "train.json"  # Flags, versions and data of the run that made it.
CODEC_FILES = (_WEIGHTS, _CODER)  # What `load` reads.


def create_variables(model: Model) -> None:
  """Builds all layers, which Keras does at the first call."""
  side = cfg.LATENT_STRIDE * cfg.HYPER_STRIDE
  model(tf.zeros([1, side, side, 3]), seed=tf.zeros([2], tf.int32))


def save(model: Model, directory: pathlib.Path, typical_images: tf.Tensor) -> None:
  """Writes a model that `load` and `load_model` read; each file is whole or not there.

  Args:
    model: a built model.
    directory: made if it is missing.
    typical_images: [B, H, W, 3], see `freeze`.

  Raises:
    ValueError: a layer is of a kind that codecs do not know; nothing was written.
  """
  arrays, frozen = weights.to_arrays(model), freeze(model, typical_images)
  directory.mkdir(parents=True, exist_ok=True)
  save_config(model.config, directory)
  _save_arrays(directory / _WEIGHTS, arrays, np.savez)
  # Integers compress well, floats do not.
  _save_arrays(directory / _CODER, frozen.arrays(), np.savez_compressed)


def save_config(config: cfg.ModelConfig, directory: pathlib.Path) -> None:
  """Writes what `load_config` reads, whole or not at all; the directory must be there."""
  outputs.write_atomically(str(directory / _CONFIG), config.to_json().encode())


def has_weights(directory: pathlib.Path) -> bool:
  """Whether a directory holds a model, trained or on its way."""
  return (directory / _WEIGHTS).exists()


def load(
  model: str = catalogue.DEFAULT,
  max_pixels: int = bitstream.DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  precision: str = cfg.CODEC_PRECISIONS[0],
  refine: int = 0,
  lmbda: Optional[float] = None,
) -> Codec:
  """The codec of a model.

  Args:
    model: a directory that training wrote, or the name of a model that ships.
    max_pixels, memory, precision: as of `Codec`.
    refine: steps of gradient descent that `compress` takes for each image, see `refinement`.
    lmbda: their λ; if nothing is said, what the model was trained for.

  Raises:
    ValueError: there is no such model; or it is to be refined, and nothing says for which λ.
  """
  directory = catalogue.find(model)
  weights_ = _load_arrays(directory, _WEIGHTS)
  frozen = _frozen(directory)
  if refine and frozen.config.gain_lambdas:
    raise ValueError("refinement is for models of one rate, not yet for models of many")
  refiner = _refiner(directory, precision, refine, lmbda) if refine else None
  return Codec(frozen, weights_, max_pixels, memory, precision, refiner)


def _refiner(directory, precision, steps, lmbda):
  trained_for, distortion = _objective(directory)
  if lmbda is None and trained_for is None:
    raise ValueError(
      f"{directory} has no {RECORD} that says for which λ it was trained: give --lambda"
    )
  policy = precision if precision == "float32" else f"mixed_{precision}"
  with precision_policy(policy):
    model = load_model(directory)
  return Refiner(model, trained_for if lmbda is None else lmbda, distortion, steps)


def _objective(directory):
  """λ, if it is known, and the distortion that a model was trained for."""
  try:
    flags = json.loads((directory / RECORD).read_text())["flags"]
    return float(flags["lmbda"]), str(flags["distortion"])
  except FileNotFoundError:
    return None, cfg.DISTORTIONS[0]
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{directory / RECORD} is damaged: {error!r}") from error


def load_for(
  file: bytes,
  max_pixels: int = bitstream.DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  precision: str = cfg.CODEC_PRECISIONS[0],
) -> Codec:
  """The codec of the shipped model that wrote a file.

  Raises:
    BitstreamError: the file is damaged.
    ValueError: no shipped model wrote it.
  """
  fingerprint = bitstream.parse_intact(file)[0].fingerprint
  with _SHIPPED:
    name = shipped_name(fingerprint)
    if name is not None:
      return _shipped_codec(name, max_pixels, memory, precision)
  raise ValueError(
    f"no shipped model has the fingerprint {fingerprint.hex()}: give the --model that wrote it"
  )


def shipped_name(fingerprint: bytes) -> Optional[str]:
  """The name of the model that ships and has this fingerprint, if there is one."""
  names = (name for name in catalogue.names() if _shipped_fingerprint(name) == fingerprint)
  return next(names, None)


def load_config(model: str) -> cfg.ModelConfig:
  """What the weights of a model depend on.

  Args:
    model: a directory that training wrote, or the name of a model that ships.

  Raises:
    ValueError: there is no such model.
  """
  directory = catalogue.find(model)
  if not (directory / _CONFIG).exists():
    raise ValueError(f"{directory} is not a model directory: it has no {_CONFIG}")
  return cfg.ModelConfig.load(directory / _CONFIG)


def load_model(model: str) -> Model:
  """Builds a model and gives it its weights; arguments and errors as of `load_config`."""
  result = Model(load_config(model))
  create_variables(result)
  load_weights(result, model)
  return result


def load_weights(model: Model, source: str) -> None:
  """Gives a built model the weights of another one, a directory or the name of one that ships.

  A model that has more latents but the same shape otherwise gets them embedded, see `widening`. A
  model for many rates that gets the weights of one for one rate has gains of 1 at that rate.

  Raises:
    ValueError: there are no such weights, or they are of a model of another shape.
  """
  directory = catalogue.find(source)
  arrays, config = _load_arrays(directory, _WEIGHTS), load_config(source)
  if model.gains is not None and not config.gain_lambdas:
    lmbda = _objective(directory)[0]
    model.gains.start_from(model.config.middle_lambda if lmbda is None else lmbda)
    config = dataclasses.replace(config, gain_lambdas=model.config.gain_lambdas)
    of_gains = {k: v for k, v in weights.to_arrays(model).items() if k.startswith("gains/")}
    arrays = {**arrays, **of_gains}
  if widening.can_widen(config, model.config):
    arrays = widening.widen(arrays, config, weights.to_arrays(model), model.config)
  weights.assign(model, arrays)


def _frozen(directory):
  return FrozenPrior.from_arrays(_load_arrays(directory, _CODER))


# What ships does not change; many files need it. Caches alone let threads make it at once.
_SHIPPED = threading.Lock()
_shipped_codec = functools.lru_cache(maxsize=None)(load)


@functools.cache
def _shipped_fingerprint(name):
  return _frozen(catalogue.find(name)).fingerprint


def _save_arrays(path, arrays, write):
  buffer = io.BytesIO()
  write(buffer, **arrays)
  outputs.write_atomically(str(path), buffer.getvalue())


def _load_arrays(directory, name):
  try:
    with np.load(directory / name) as arrays:
      return dict(arrays)
  except FileNotFoundError as error:
    raise ValueError(f"{directory} is not a trained model: it has no {name}") from error
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(f"{directory / name} is damaged: {error}") from error
