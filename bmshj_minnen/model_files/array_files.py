"""Named arrays on disk, as NumPy's .npz: the weights of a model and its frozen entropy coder."""

import io
import pathlib
import zipfile
from typing import Callable, Optional

import numpy as np

from bmshj_minnen.photographs import outputs

__all__ = ["CODER", "WEIGHTS", "read", "write"]

WEIGHTS = "weights.npz"
CODER = "coder.npz"


def read(
  directory: pathlib.Path, name: str, wanted: Optional[Callable[[str], bool]] = None
) -> dict[str, np.ndarray]:
  """The arrays of a file in a model directory.

  Args:
    directory: of the model.
    name: of the file.
    wanted: whether an array of a name is read; None: all are.

  Raises:
    ValueError: it is missing or damaged.
  """
  try:
    with np.load(directory / name) as arrays:
      return {key: arrays[key] for key in arrays.files if wanted is None or wanted(key)}
  except FileNotFoundError as error:
    raise ValueError(f"{directory} is not a trained model: it has no {name}") from error
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(f"{directory / name} is damaged: {error}") from error


def write(
  directory: pathlib.Path, name: str, arrays: dict[str, np.ndarray], compressed: bool = False
) -> None:
  """Writes what `read` reads, whole or not at all; the directory must be there."""
  buffer = io.BytesIO()
  (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
  outputs.write_atomically(str(directory / name), buffer.getvalue())
