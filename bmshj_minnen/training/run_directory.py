"""The directory of a run: its lock, its record, and the models that may not be overwritten."""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Iterator
from typing import Any, Optional

from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.model_files import model_directory, snapshots
from bmshj_minnen.training.own_parts import OwnParts
from bmshj_minnen.training.train_config import TrainConfig

__all__ = [
  "check_same_model",
  "exclusive_lock",
  "refuse_model_without_checkpoint",
  "write_record",
]

_NOTHING = OwnParts()


@contextlib.contextmanager
def exclusive_lock(directory: pathlib.Path) -> Iterator[None]:
  """Locks a directory against other trainings; the lock ends with the process.

  Raises:
    ValueError: another process trains there.
  """
  directory.mkdir(parents=True, exist_ok=True)
  handle = os.open(directory, os.O_RDONLY)
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError as error:
    raise ValueError(
      f"another process is training {directory}: wait for it, or give another --model_dir"
    ) from error
  else:
    yield
  finally:
    os.close(handle)


def refuse_model_without_checkpoint(directory: pathlib.Path) -> None:
  """Refuses a run from the first step that would overwrite a model.

  Raises:
    ValueError: `directory` contains weights.
  """
  if model_directory.has_weights(directory):
    raise ValueError(
      f"{directory} holds a trained model, but no checkpoint to go on from: "
      f"give --init_from={directory} and another --model_dir"
    )


def check_same_model(model_config: cfg.ModelConfig, directory: pathlib.Path) -> None:
  """Refuses a directory that contains a different model.

  Raises:
    ValueError: `directory` contains a model with another config.
  """
  if not model_directory.has_weights(directory):  # Without weights there is nothing to overwrite.
    return
  existing = dataclasses.asdict(model_directory.load_config(str(directory)))
  asked = dataclasses.asdict(model_config)
  others = [f"{name}={value}" for name, value in existing.items() if value != asked[name]]
  if others:
    raise ValueError(
      f"{directory} holds another model, of {', '.join(others)}: "
      "give its flags, or another --model_dir"
    )


def write_record(
  directory: pathlib.Path,
  model_config: cfg.ModelConfig,
  config: TrainConfig,
  own: OwnParts = _NOTHING,
  **details: Any,
) -> None:
  """Writes config.json and train.json: flags, own parts, versions, and `details` of the run.

  Each file is written completely or not at all. Flags of earlier runs in the directory are kept as
  `earlier_flags`, if they differ.
  """
  directory.mkdir(parents=True, exist_ok=True)
  snapshots.write_config(model_config, directory)
  packages = ("bmshj_minnen", "tensorflow", "tensorflow-compression", "numpy")
  versions = {"python": platform.python_version(), **{p: _version(p) for p in packages}}
  path = directory / model_directory.RECORD
  flags = {**dataclasses.asdict(config), **own.names()}
  record = {"flags": flags, "earlier_flags": _earlier_flags(path, flags)}
  text = json.dumps({**record, "versions": versions, **details}, indent=2) + "\n"
  outputs.write_atomically(str(path), text.encode())


def _earlier_flags(path, flags):
  """Flags of the recorded runs; logs the differences between the last of them and the new flags."""
  if not path.exists():
    return []
  record = json.loads(path.read_text())
  last = record["flags"]
  others = [f"{k}={last[k]} -> {v}" for k, v in flags.items() if k in last and last[k] != v]
  if not others:
    return record.get("earlier_flags", [])
  logging.warning("%s goes on with other flags: %s.", path.parent, ", ".join(others))
  return [*record.get("earlier_flags", []), last]


def _version(package) -> Optional[str]:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
