"""Writes a model; it is frozen first, so that a model that cannot code is not written."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.freezing import NotFiniteError, freeze
from bmshj_minnen.coding.prior_check import check_codec
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import array_files, weights
from bmshj_minnen.model_files.codec_files import CODER_FINGERPRINT

__all__ = ["CONFIG", "Snapshot", "take", "write_config"]

CONFIG = "config.json"


@dataclasses.dataclass(frozen=True)
class Snapshot:
  """A model at one step of its training.

  Attributes:
    config: config of the model.
    arrays: weights of the model, by the names of `weights`.
    frozen: the integer prior for entropy coding.
  """

  config: cfg.ModelConfig
  arrays: dict[str, np.ndarray]
  frozen: FrozenPrior

  def write(self, directory: pathlib.Path) -> None:
    """Writes the files that `model_directory` reads, each completely or not at all.

    Args:
      directory: the model directory; created if it is missing.

    Raises:
      OSError: a file cannot be written, for example on a full disk; an older model stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_config(self.config, directory)
    held = np.frombuffer(self.frozen.fingerprint, np.uint8)
    files = {
      array_files.WEIGHTS: {**self.arrays, CODER_FINGERPRINT: held},
      array_files.CODER: self.frozen.arrays(),
    }
    array_files.write(directory, files)


def take(model: Model, typical_images: tf.Tensor) -> Snapshot:
  """Freezes a model and checks that the codec matches it, see `check_codec`; writes nothing.

  Args:
    model: a built model.
    typical_images: [B, H, W, 3] in 0..255, see `freeze`.

  Raises:
    NotFiniteError: a weight or an activation is not finite.
    ValueError: entropy coding does not support a layer of h_s or g_ep, or the codec does not match
      the model.
  """
  arrays = weights.to_arrays(model)
  name = array_files.not_finite(arrays)
  if name:
    raise NotFiniteError(f"the weights are not finite ({name})")
  frozen = freeze(model, typical_images)
  check_codec(model, frozen, typical_images)
  return Snapshot(model.config, arrays, frozen)


def write_config(config: cfg.ModelConfig, directory: pathlib.Path) -> None:
  """Writes the config for `load_config`, completely or not at all; the directory must exist."""
  outputs.write_atomically(str(directory / CONFIG), config.to_json().encode())
