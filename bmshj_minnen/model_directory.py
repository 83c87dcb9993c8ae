"""A model on disk: its configuration, its weights and its frozen entropy coder."""

import io
import pathlib
import zipfile

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen import images, weights
from bmshj_minnen.coding import bitstream
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.coding.freezing import freeze
from bmshj_minnen.coding.frozen_prior import FrozenPrior
from bmshj_minnen.model import Model

__all__ = ["create_variables", "load", "load_model", "load_weights", "save"]

_CONFIG = "config.json"
_WEIGHTS = "weights.npz"
_CODER = "coder.npz"


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
  """
  directory.mkdir(parents=True, exist_ok=True)
  model.config.save(directory / _CONFIG)
  _save_arrays(directory / _WEIGHTS, weights.to_arrays(model), np.savez)
  # Integers compress well, floats do not.
  _save_arrays(directory / _CODER, freeze(model, typical_images).arrays(), np.savez_compressed)


def load(directory: str, max_pixels: int = bitstream.DEFAULT_MAX_PIXELS) -> Codec:
  """The codec of a model directory.

  Args:
    directory: what training wrote.
    max_pixels: the largest image that the codec decompresses.

  Raises:
    ValueError: it is not a model directory.
  """
  directory = pathlib.Path(directory)
  frozen = FrozenPrior.from_arrays(_load_arrays(directory, _CODER))
  return Codec(frozen, _load_arrays(directory, _WEIGHTS), max_pixels)


def load_model(directory: pathlib.Path) -> Model:
  """Builds the model of a directory and gives it its weights.

  Raises:
    ValueError: it is not a model directory.
  """
  directory = pathlib.Path(directory)
  if not (directory / _CONFIG).exists():
    raise ValueError(f"{directory} is not a model directory: it has no {_CONFIG}")
  model = Model(cfg.ModelConfig.load(directory / _CONFIG))
  create_variables(model)
  load_weights(model, directory)
  return model


def load_weights(model: Model, directory: pathlib.Path) -> None:
  """Gives a built model the weights of a directory.

  Raises:
    ValueError: the directory has no weights, or those of a model of another shape.
  """
  weights.assign(model, _load_arrays(pathlib.Path(directory), _WEIGHTS))


def _save_arrays(path, arrays, write):
  buffer = io.BytesIO()
  write(buffer, **arrays)
  images.write_atomically(str(path), buffer.getvalue())


def _load_arrays(directory, name):
  try:
    with np.load(directory / name) as arrays:
      return dict(arrays)
  except FileNotFoundError as error:
    raise ValueError(f"{directory} is not a trained model: it has no {name}") from error
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(f"{directory / name} is damaged: {error}") from error
