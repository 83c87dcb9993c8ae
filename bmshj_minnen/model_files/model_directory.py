"""A model on disk: its configuration, its weights and its frozen entropy coder.

Wherever a model directory is read, the name of one that ships does as well, see `catalogue`.
"""

import dataclasses
import json
import pathlib
from typing import Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import checks
from bmshj_minnen import config as cfg
from bmshj_minnen.coding import precisions, tiling
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.coding.forking import refuse_forked
from bmshj_minnen.coding.graph_codec import tensorflow_codec
from bmshj_minnen.coding.refinement import Refiner
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.layers.precision import precision_policy
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import array_files, catalogue, snapshots, weights, widening
from bmshj_minnen.model_files.array_files import CODER, WEIGHTS
from bmshj_minnen.model_files.codec_files import BOND, Shipped, place, read_prior, read_weights

__all__ = [
  "RECORD",
  "has_weights",
  "load",
  "load_config",
  "load_for",
  "load_model",
  "load_weights",
  "model_for_coding",
  "save",
]

RECORD = "train.json"  # Flags, versions and data of the run that made it.
CODEC_FILES = (WEIGHTS, CODER)  # What `load` reads.


def model_for_coding(
  config: cfg.ModelConfig,
  arrays: dict[str, np.ndarray],
  precision: str = cfg.CODEC_PRECISIONS[0],
) -> Model:
  """A model whose g_a, g_s and h_a can be computed, and nothing else.

  Args:
    config: of the model.
    arrays: its weights, by the names of `weights`.
    precision: of most of g_a and g_s, one of `config.CODEC_PRECISIONS`. With "bfloat16" processors
      that have it (AVX512-BF16, AMX) take half the time, for pixels that differ by rounding; "auto"
      is that on those and "float32" on others. Files of either are read with either.

  Raises:
    ValueError: there is no such precision, or the weights are of another model.
  """
  policy = _policy(precision)
  with precision_policy(policy):
    model = Model(config, gdn_dtype=policy, has_variables=False)
    weights.hold(model, arrays)
  return model


def _policy(precision):
  resolved = precisions.resolve(precision)
  return resolved if resolved == "float32" else f"mixed_{resolved}"


def save(model: Model, directory: pathlib.Path, typical_images: tf.Tensor) -> None:
  """Writes a model that `load` and `load_model` read; each file is whole or not there.

  Args:
    model: a built model.
    directory: made if it is missing.
    typical_images: [B, H, W, 3], see `freeze`.

  Raises:
    NotFiniteError: a weight or an activation is not finite; nothing was written.
    ValueError: a layer of h_s or g_ep is not for entropy coding; nothing was written.
  """
  snapshots.take(model, typical_images).write(directory)


def has_weights(directory: pathlib.Path) -> bool:
  """Whether a directory holds a model, trained or on its way."""
  return (directory / WEIGHTS).exists()


def load(
  model: str = catalogue.DEFAULT,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  precision: str = cfg.CODEC_PRECISIONS[0],
  refine: int = 0,
  lmbda: Optional[float] = None,
  quality: Optional[float] = None,
) -> Codec:
  """The codec of a model.

  Args:
    model: a directory that training wrote, or the name of a model that ships.
    max_pixels, memory: as of `Codec`.
    precision: as of `model_for_coding`.
    refine: steps of gradient descent that `compress` takes for each image, see `refinement`.
    lmbda: their λ; if nothing is said, what the model was trained for, or that of the quality.
    quality: of a model for many rates, where none is given; None: the default one, see `quality`.

  Raises:
    TypeError: the quality or λ is no number.
    ValueError: there is no such model, quality or λ; its files are of different models; or nothing
      says for which λ it is to be refined.
  """
  refuse_forked()
  directory = catalogue.find(model)
  frozen = read_prior(directory)
  return _codec(directory, frozen, max_pixels, memory, precision, refine, lmbda, quality)


def _codec(directory, frozen, max_pixels, memory, precision, refine=0, lmbda=None, quality=None):
  arrays = read_weights(directory, frozen.fingerprint)
  refiner = _refiner(directory, frozen.config, precision, refine, lmbda) if refine else None
  coding_model = model_for_coding(frozen.config, arrays, precision)
  codec = tensorflow_codec(
    frozen, coding_model, refiner, max_pixels=max_pixels, memory=memory, quality=quality
  )
  options = (max_pixels, memory, precision, refine, lmbda)
  codec.origin = _load_again, (frozen.fingerprint, place(directory), *options)
  return codec


def _load_again(fingerprint, model, *options):
  """The codec of `load` in another process."""
  codec = load(model, *options)
  if codec.fingerprint != fingerprint:
    raise ValueError(f"the model in {model} is no longer the one that was loaded")
  return codec


def _refiner(directory, config, precision, steps, lmbda):
  trained_for, distortion = _objective(directory)
  lmbda = None if lmbda is None else checks.positive("lmbda", lmbda)
  if config.gain_lambdas:
    trained_for = None  # What the quality says.
  elif lmbda is None and trained_for is None:
    raise ValueError(
      f"{directory} has no {RECORD} that says for which λ it was trained: give --lambda"
    )
  with precision_policy(_policy(precision)):
    model = load_model(directory)
  return Refiner(model, trained_for if lmbda is None else lmbda, distortion, steps)


def _objective(directory):
  """λ, if it is known, and the distortion that a model was trained for."""
  try:
    flags = json.loads((directory / RECORD).read_text())["flags"]
    lmbda = flags.get("lmbda")
    return None if lmbda is None else float(lmbda), str(flags["distortion"])
  except FileNotFoundError:
    return None, cfg.DISTORTIONS[0]
  except (KeyError, TypeError, ValueError) as error:
    raise ValueError(f"{directory / RECORD} is damaged: {error!r}") from error


def load_for(
  file: bytes,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  precision: str = cfg.CODEC_PRECISIONS[0],
) -> Codec:
  """The codec of the shipped model that wrote a file.

  Raises:
    BitstreamError: the file is damaged.
    ValueError: no shipped model wrote it.
  """
  refuse_forked()
  return _SHIPPED.codec_for(file, max_pixels, memory, precision)


def load_config(model: str) -> cfg.ModelConfig:
  """What the weights of a model depend on.

  Args:
    model: a directory that training wrote, or the name of a model that ships.

  Raises:
    ValueError: there is no such model.
  """
  directory = catalogue.find(model)
  if not (directory / snapshots.CONFIG).exists():
    raise ValueError(f"{directory} is not a model directory: it has no {snapshots.CONFIG}")
  return cfg.ModelConfig.load(directory / snapshots.CONFIG)


def load_model(model: str) -> Model:
  """Builds a model and gives it its weights; arguments and errors as of `load_config`."""
  refuse_forked()
  result = Model(load_config(model))
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
  arrays, config = array_files.read(directory, WEIGHTS), load_config(source)
  arrays.pop(BOND, None)
  if model.gains is not None and not config.gain_lambdas:
    lmbda = _objective(directory)[0]
    model.gains.start_from(model.config.middle_lambda if lmbda is None else lmbda)
    config = dataclasses.replace(config, gain_lambdas=model.config.gain_lambdas)
    of_gains = {k: v for k, v in weights.to_arrays(model).items() if k.startswith("gains/")}
    arrays = {**arrays, **of_gains}
  if widening.can_widen(config, model.config):
    arrays = widening.widen(arrays, config, weights.to_arrays(model), model.config)
  weights.assign(model, arrays)


_SHIPPED = Shipped(_codec)
