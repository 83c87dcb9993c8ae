"""Named arrays on disk, as NumPy's .npz: the weights of a model and its frozen entropy coder."""

import io
import pathlib
import zipfile
from typing import Optional

import numpy as np

from bmshj_minnen.photographs import outputs

__all__ = ["CODER", "WEIGHTS", "not_finite", "read", "write"]

WEIGHTS = "weights.npz"
CODER = "coder.npz"


def read(directory: pathlib.Path, name: str) -> dict[str, np.ndarray]:
  """The arrays of a file in a model directory.

  Raises:
    ValueError: it is missing or damaged, or numbers in it are not finite.
  """
  arrays = _read(directory, name)
  bad = not_finite(arrays)
  if bad:
    raise ValueError(
      f"{directory / name} holds numbers that are not finite ({bad}), as a training that diverged "
      "may leave them: train the model again, or give another"
    )
  return arrays


def not_finite(arrays: dict[str, np.ndarray]) -> Optional[str]:
  """The name of an array that holds an infinity or a NaN; None if all numbers are finite."""
  floats = (name for name, array in arrays.items() if array.dtype.kind == "f")
  return next((name for name in floats if not np.isfinite(arrays[name]).all()), None)


def _read(directory, name):
  try:
    with np.load(directory / name) as arrays:
      return dict(arrays)
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
