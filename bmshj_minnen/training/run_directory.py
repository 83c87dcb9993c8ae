"""The directory of a run: its lock, its record, and the models that may not be overwritten."""

import contextlib
import dataclasses
import importlib.metadata
import json
import pathlib
import platform
from typing import Any, Optional

from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.model_files import array_files, model_directory, snapshots
from bmshj_minnen.runtime import locks
from bmshj_minnen.training import metrics_table
from bmshj_minnen.training.own_parts import OwnParts
from bmshj_minnen.training.train_config import TrainConfig

__all__ = [
  "check_same_model",
  "exclusive_lock",
  "refuse_files_of_others",
  "refuse_model_without_checkpoint",
  "warn_of_unused_flags",
  "write_record",
]

_NOTHING = OwnParts()


def exclusive_lock(directory: pathlib.Path) -> contextlib.AbstractContextManager[None]:
  """Locks a directory against other trainings; the lock ends with the process.

  Raises:
    ValueError: another process trains there.
  """
  line = f"another process is training {directory}: wait for it, or give another --model_dir"
  return locks.exclusive(directory, line)


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


def refuse_files_of_others(directory: pathlib.Path) -> None:
  """Refuses a run from the first step that would replace files that no training wrote.

  Raises:
    ValueError: `directory` contains such a file.
  """
  for name, is_own in _IS_OWN.items():
    path = directory / name
    if path.exists() and not (path.is_file() and is_own(path)):
      raise ValueError(
        f"{path} was not written by a training, which would replace it: move it away, or give "
        "another --model_dir"
      )


def _is_read_by(read):
  """A function: path -> whether `read` takes the file, in place of a ValueError."""

  def is_read(path):
    try:
      read(path)
    except ValueError:
      return False
    return True

  return is_read


_IS_OWN = {
  snapshots.CONFIG: _is_read_by(cfg.ModelConfig.load),
  model_directory.RECORD: _is_read_by(lambda path: model_directory.read_record(path.parent)),
  metrics_table.NAME: metrics_table.is_table,
  # Training writes it after the weights, which only a run with a checkpoint may replace.
  array_files.CODER: lambda path: False,
}


def check_same_model(model_config: cfg.ModelConfig, directory: pathlib.Path) -> None:
  """Refuses a directory that contains a different model.

  Raises:
    ValueError: `directory` contains a model with another config.
  """
  if not model_directory.has_weights(directory):  # Without weights there is nothing to overwrite.
    return
  others = model_directory.load_config(str(directory)).differences(model_config)
  if others:
    raise ValueError(
      f"{directory} holds another model: {', '.join(others)}: "
      "give the same settings, or another --model_dir"
    )


def warn_of_unused_flags(
  directory: pathlib.Path, config: TrainConfig, own: OwnParts = _NOTHING
) -> None:
  """Warns that a run without steps left ignores flags that differ from the recorded run's."""
  record = model_directory.read_record(directory)
  if record is None:
    return
  flags = _flags(config, own)
  del flags["steps"]
  changes = _changes(record["flags"], flags)
  if changes:
    logging.warning(
      "%s is trained to its end, without %s: give more --steps, or another --model_dir.",
      directory,
      ", ".join(changes),
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

  Raises:
    ValueError: the record of an earlier run is damaged.
  """
  directory.mkdir(parents=True, exist_ok=True)
  snapshots.write_config(model_config, directory)
  packages = ("bmshj_minnen", "tensorflow", "tensorflow-compression", "numpy")
  versions = {"python": platform.python_version(), **{p: _version(p) for p in packages}}
  path = directory / model_directory.RECORD
  flags = _flags(config, own)
  record = {"flags": flags, "earlier_flags": _earlier_flags(directory, flags)}
  text = json.dumps({**record, "versions": versions, **details}, indent=2) + "\n"
  outputs.write_atomically(str(path), text.encode())


def _flags(config, own):
  return {**dataclasses.asdict(config), **own.names()}


def _earlier_flags(directory, flags):
  """Flags of the recorded runs; logs the differences between the last of them and the new flags."""
  record = model_directory.read_record(directory)
  if record is None:
    return []
  changes = _changes(record["flags"], flags)
  if not changes:
    return record.get("earlier_flags", [])
  logging.warning("%s goes on with other flags: %s.", directory, ", ".join(changes))
  return [*record.get("earlier_flags", []), record["flags"]]


def _changes(last, flags):
  """Flags that differ from those of the last run, such as "--lambda=0.01 -> 0.05"."""
  names = {"lmbda": "lambda"}
  return [
    f"--{names.get(name, name)}={last[name]} -> {value}"
    for name, value in flags.items()
    if name != "model_dir" and name in last and last[name] != value
  ]


def _version(package) -> Optional[str]:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
