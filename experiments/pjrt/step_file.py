"""The file that carries a training step from TensorFlow to JAX, and the state between the two.

Both are NumPy archives (.npz). A state holds one array a variable. A step file holds

    description   JSON: the configurations of model and training, the batch, versions, and for
                  each program the names of its arguments and results
    hlo/NAME      each program, as serialized HLO
    state/NAME    the variables before the first step
"""

import dataclasses
import io
import json
import os
import pathlib
import zipfile
from typing import Any

import numpy as np

__all__ = ["ITERATION", "Program", "StepFile", "load", "load_state", "save", "save_state"]

ITERATION = "optimizer/000"  # The variable that counts steps, int64.


@dataclasses.dataclass(frozen=True)
class Program:
  """An XLA program with names for what goes in and out.

  Attributes:
    hlo: serialized HloModuleProto.
    arguments: `x` for the crops, all others are variables.
    results: losses, then variables.
  """

  hlo: bytes
  arguments: list[str]
  results: list[str]


@dataclasses.dataclass(frozen=True)
class StepFile:
  """A training step and its first state.

  Attributes:
    description: what the file is about; plain JSON.
    programs: `train` and `validate`.
    state: variable -> value.
  """

  description: dict[str, Any]
  programs: dict[str, Program]
  state: dict[str, np.ndarray]


def save(path: pathlib.Path, step: StepFile) -> None:
  """Writes a step file; it is whole or not there."""
  programs = {
    name: {"arguments": program.arguments, "results": program.results}
    for name, program in step.programs.items()
  }
  description = json.dumps({**step.description, "programs": programs})
  arrays = {"description": np.frombuffer(description.encode(), np.uint8)}
  for name, program in step.programs.items():
    arrays[f"hlo/{name}"] = np.frombuffer(program.hlo, np.uint8)
  arrays.update({f"state/{name}": value for name, value in step.state.items()})
  _write(path, arrays, np.savez_compressed)


def load(path: pathlib.Path) -> StepFile:
  """Reads what `save` wrote.

  Raises:
    ValueError: the file is missing, damaged or something else.
  """
  arrays = _read(path)
  if "description" not in arrays:
    raise ValueError(f"{path} is not a step file")
  description = json.loads(arrays["description"].tobytes())
  programs = {
    name: Program(arrays[f"hlo/{name}"].tobytes(), **signature)
    for name, signature in description.pop("programs").items()
  }
  state = {name[6:]: value for name, value in arrays.items() if name.startswith("state/")}
  return StepFile(description, programs, state)


def save_state(path: pathlib.Path, state: dict[str, np.ndarray]) -> None:
  """Writes a checkpoint; interrupted, it leaves the one before."""
  _write(path, state, np.savez)


def load_state(path: pathlib.Path, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Reads a checkpoint.

  Args:
    path: what `save_state` wrote.
    like: a state of the same step.

  Raises:
    ValueError: the file is missing, damaged, or of another step.
  """
  state = _read(path)
  if {n: (a.shape, a.dtype) for n, a in state.items()} != {
    n: (a.shape, a.dtype) for n, a in like.items()
  }:
    raise ValueError(f"{path} is of another step file: give that one, or another --output")
  return state


def _write(path, arrays, write):
  buffer = io.BytesIO()
  write(buffer, **arrays)
  temporary = path.with_name(path.name + ".partial")
  temporary.write_bytes(buffer.getbuffer())
  os.replace(temporary, path)


def _read(path):
  try:
    with np.load(path) as arrays:
      return dict(arrays)
  except FileNotFoundError as error:
    raise ValueError(f"{path} does not exist") from error
  except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
    raise ValueError(f"{path} is not a whole .npz file: {error}") from error
