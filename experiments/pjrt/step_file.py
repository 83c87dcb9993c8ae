"""The file that carries a training step from TensorFlow to JAX, and the state between the two.

Both are NumPy archives (.npz). A state contains one array per variable. A step file contains

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

__all__ = [
  "ITERATION",
  "Program",
  "StepFile",
  "load",
  "load_state",
  "save",
  "save_state",
  "to_half",
]

ITERATION = "optimizer/000"  # The variable that counts steps, int64.


@dataclasses.dataclass(frozen=True)
class Program:
  """An XLA program with names for its arguments and results.

  Attributes:
    hlo: serialized HloModuleProto.
    arguments: `x` for the crops, then names of variables.
    results: names of losses, then of variables.
  """

  hlo: bytes
  arguments: list[str]
  results: list[str]


@dataclasses.dataclass(frozen=True)
class StepFile:
  """A training step and its first state.

  Attributes:
    description: configurations, batch and versions; plain JSON.
    programs: `train` and `validate`.
    state: variable -> value.
  """

  description: dict[str, Any]
  programs: dict[str, Program]
  state: dict[str, np.ndarray]


def save(path: pathlib.Path, step: StepFile, half: bool = False) -> None:
  """Writes a step file atomically, with floats rounded to float16 if `half`."""
  programs = {
    name: {"arguments": program.arguments, "results": program.results}
    for name, program in step.programs.items()
  }
  description = json.dumps({**step.description, "programs": programs})
  arrays = {"description": np.frombuffer(description.encode(), np.uint8)}
  for name, program in step.programs.items():
    arrays[f"hlo/{name}"] = np.frombuffer(program.hlo, np.uint8)
  state = to_half(step.state) if half else step.state
  arrays.update({f"state/{name}": value for name, value in state.items()})
  _write(path, arrays, np.savez_compressed)


def load(path: pathlib.Path) -> StepFile:
  """Reads a step file.

  Raises:
    ValueError: the file is missing, damaged or not a step file.
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
  return StepFile(description, programs, _to_single(state))


def save_state(path: pathlib.Path, state: dict[str, np.ndarray]) -> None:
  """Writes a checkpoint atomically; an interruption leaves the previous one."""
  _write(path, state, np.savez)


def load_state(path: pathlib.Path, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Reads a checkpoint.

  Args:
    path: a file of `save_state`: a whole state, or the model's variables alone in float16.
    like: a state of the same step; supplies variables that the file lacks.

  Raises:
    ValueError: the file is missing, damaged, or belongs to another step.
  """
  state = _to_single(_read(path))
  shapes = {name: (value.shape, value.dtype) for name, value in like.items()}
  if any(shapes.get(name) != (value.shape, value.dtype) for name, value in state.items()):
    raise ValueError(f"{path} is of another step file: give that one, or another --output")
  return {**like, **state}


def to_half(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Converts floats to float16 and keeps integers."""
  return {
    name: value.astype(np.float16) if value.dtype == np.float32 else value
    for name, value in state.items()
  }


def _to_single(state):
  return {
    name: value.astype(np.float32) if value.dtype == np.float16 else value
    for name, value in state.items()
  }


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
