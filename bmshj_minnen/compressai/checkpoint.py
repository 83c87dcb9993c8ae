"""Reads the arrays of a PyTorch checkpoint without running code in it."""

import importlib
import pathlib
import zipfile
from typing import Any

import numpy as np
from absl import logging

from bmshj_minnen.compressai import names

__all__ = ["read"]

_USUAL = ("", "state_dict", "model_state_dict", "model", "model.state_dict")  # Keys of a state.


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The arrays of a checkpoint, by name; no code in the file is run.

  Args:
    path: a file of `torch.save` with a state, or with dictionaries that contain one, for example as
      "state_dict" or "model"; or an .npz file of the arrays, which needs no PyTorch.

  Raises:
    OSError: the file does not exist.
    ValueError: the file does not contain such arrays or is damaged, or PyTorch is missing.
  """
  with path.open("rb"):  # Distinguishes a missing file from a damaged one.
    pass
  content = _read_npz(path) if path.suffix == ".npz" else _read_torch(path)
  content = _state_in(path, content)
  if not isinstance(content, dict) or not content:
    raise ValueError(f"{path} is not a checkpoint: it holds no named arrays")
  return {str(name): _array(path, name, value) for name, value in content.items()}


def _state_in(path, content):
  """The state within dictionaries, or the content itself; logs the choice among several states."""
  found = dict(_states(content))
  if not found:
    return content.get("state_dict", content) if isinstance(content, dict) else content
  chosen = next((key for key in _USUAL if key in found), next(iter(found)))
  if len(found) > 1:
    logging.warning("%s holds %s; %s is taken.", path, ", ".join(found), chosen)
  return found[chosen]


def _states(content, key=""):
  """States in nested dictionaries, with their keys, joined by points."""
  if not isinstance(content, dict):
    return
  if names.is_state(content):
    yield key, content
    return
  for inner, value in content.items():
    yield from _states(value, f"{key}.{inner}" if key else str(inner))


def _read_npz(path):
  try:
    with np.load(path) as arrays:
      return dict(arrays)
  except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
    raise ValueError(f"{path} is damaged: {error}") from error


def _read_torch(path):
  try:
    torch = importlib.import_module("torch")
  except ImportError as error:
    raise ValueError(
      "reading PyTorch's files needs PyTorch: pip install 'bmshj_minnen[compressai]'"
    ) from error
  try:
    _check_sums(path)
    return torch.load(path, map_location="cpu", weights_only=True)
  except Exception as error:  # Unpickling arbitrary bytes may raise anything.
    reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]
    raise ValueError(
      f"{path} is not a PyTorch checkpoint of weights alone, or is damaged ({reason})"
    ) from error


def _check_sums(path):
  """Checks the checksums of an archive; PyTorch has written archives since 1.6, without checks."""
  if zipfile.is_zipfile(path):
    with zipfile.ZipFile(path) as archive:
      damaged = archive.testzip()
    if damaged:
      raise ValueError(f"wrong checksum of {damaged}")


def _array(path, name, value: Any):
  if isinstance(value, (np.ndarray, int, float)):
    return np.asarray(value)
  try:
    # float32 represents bfloat16, which NumPy lacks.
    return (value.float() if value.is_floating_point() else value).numpy()
  except (AttributeError, RuntimeError, TypeError) as error:  # Not a dense tensor.
    kind = type(value).__name__
    raise ValueError(f"{path} is not a checkpoint: {name} is a {kind}") from error
