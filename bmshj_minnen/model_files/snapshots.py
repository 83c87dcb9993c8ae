"""Writing a model: frozen first, so that nothing is written of one that cannot be coded with."""

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.freezing import NotFiniteError, freeze
from bmshj_minnen.coding.proof import check_codec
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import array_files, weights
from bmshj_minnen.model_files.codec_files import BOND
from bmshj_minnen.photographs import outputs

__all__ = ["CONFIG", "Snapshot", "take", "write_config"]

CONFIG = "config.json"


@dataclasses.dataclass(frozen=True)
class Snapshot:
  """A model at one step of its training.

  Attributes:
    config: what its weights depend on.
    arrays: the weights, by the names of `weights`.
    frozen: what entropy coding reads.
  """

  config: cfg.ModelConfig
  arrays: dict[str, np.ndarray]
  frozen: FrozenPrior

  def write(self, directory: pathlib.Path) -> None:
    """Writes what `model_directory` reads; makes the directory; each file is whole or not there.

    Raises:
      OSError: it cannot be written, as on a full disk; a model that was there stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    write_config(self.config, directory)
    bond = np.frombuffer(self.frozen.fingerprint, np.uint8)
    files = {
      array_files.WEIGHTS: {**self.arrays, BOND: bond},
      array_files.CODER: self.frozen.arrays(),
    }
    array_files.write(directory, files)


def take(model: Model, typical_images: tf.Tensor) -> Snapshot:
  """Freezes a model and checks that its codec is the model, see `check_codec`; writes nothing.

  Args:
    model: a built model.
    typical_images: [B, H, W, 3], see `freeze`.

  Raises:
    NotFiniteError: a weight or an activation is not finite.
    ValueError: a layer of h_s or g_ep is not for entropy coding, or files would be another model's.
  """
  arrays = weights.to_arrays(model)
  name = array_files.not_finite(arrays)
  if name:
    raise NotFiniteError(f"the weights are not finite ({name})")
  frozen = freeze(model, typical_images)
  check_codec(model, frozen, typical_images)
  return Snapshot(model.config, arrays, frozen)


def write_config(config: cfg.ModelConfig, directory: pathlib.Path) -> None:
  """Writes what `load_config` reads, whole or not at all; the directory must be there."""
  outputs.write_atomically(str(directory / CONFIG), config.to_json().encode())
