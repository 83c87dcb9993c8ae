"""Named arrays on disk, as NumPy's .npz: the weights of a model and its frozen entropy coder."""

import contextlib
import io
import os
import pathlib
import zipfile
from typing import Callable, Optional

import numpy as np

from bmshj_minnen.file_tools import outputs

__all__ = ["CODER", "WEIGHTS", "not_finite", "read", "write"]

WEIGHTS = "weights.npz"
CODER = "coder.npz"


def read(
  directory: pathlib.Path, name: str, wanted: Optional[Callable[[str], bool]] = None
) -> dict[str, np.ndarray]:
  """The arrays of a file in a model directory.

  Args:
    directory: the model directory.
    name: name of the file.
    wanted: name of an array -> whether it is read; None: all arrays are read.

  Raises:
    ValueError: the file is missing or damaged, or contains NaN or infinity.
  """
  arrays = _read(directory, name, wanted)
  bad = not_finite(arrays)
  if bad:
    raise ValueError(
      f"{directory / name} holds numbers that are not finite ({bad}), as a training that diverged "
      "may leave them: train the model again, or give another"
    )
  return arrays


def not_finite(arrays: dict[str, np.ndarray]) -> Optional[str]:
  """The name of an array that contains NaN or infinity; None if all numbers are finite."""
  floats = (name for name, array in arrays.items() if array.dtype.kind == "f")
  return next((name for name in floats if not np.isfinite(arrays[name]).all()), None)


def _read(directory, name, wanted):
  try:
    with np.load(directory / name) as arrays:
      return {key: arrays[key] for key in arrays.files if wanted is None or wanted(key)}
  except FileNotFoundError as error:
    raise ValueError(f"{directory} is not a trained model: it has no {name}") from error
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(f"{directory / name} is damaged: {error}") from error


def write(directory: pathlib.Path, files: dict[str, dict[str, np.ndarray]]) -> None:
  """Writes files of named arrays for `read`; the directory must exist.

  The files are replaced together: if the disk is full, all keep their old contents.

  Args:
    directory: the model directory.
    files: file name -> named arrays.

  Raises:
    OSError: a file cannot be written; the message names it.
  """
  # Links are followed, and each new file is staged beside the file that it replaces.
  targets = {name: pathlib.Path(os.path.realpath(directory / name)) for name in files}
  staged = {name: target.with_name(f".{name}.new") for name, target in targets.items()}
  try:
    for name, arrays in files.items():
      with _errors_that_name(directory / name):
        outputs.write_atomically(str(staged[name]), _packed(name, arrays))
    for name, target in targets.items():
      with _errors_that_name(directory / name):
        os.replace(staged[name], target)
  finally:
    for path in staged.values():
      path.unlink(missing_ok=True)


def _packed(name, arrays):
  buffer = io.BytesIO()
  # Integers compress well, floats do not.
  kind = zipfile.ZIP_DEFLATED if name == CODER else zipfile.ZIP_STORED
  # As `np.savez`, which leaves an archive open when Ctrl-C ends it: Python then prints a traceback.
  with zipfile.ZipFile(buffer, "w", kind) as archive:
    for key, array in arrays.items():
      with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
  return buffer.getvalue()


@contextlib.contextmanager
def _errors_that_name(path):
  try:
    yield
  except OSError as error:
    if not error.errno:
      raise
    raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
