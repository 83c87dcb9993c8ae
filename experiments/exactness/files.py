"""The files of all settings in a folder, and hashes of the latents that were encoded.

TensorFlow is not needed.
"""

import json
import pathlib
from collections.abc import Iterable
from typing import Callable, Optional

import bmshj_minnen
from experiments.exactness import runtimes

__all__ = ["models", "quality", "read", "write"]

_QUALITY = 37  # Quality of the files of models for many rates.


def models(folder: pathlib.Path) -> list[pathlib.Path]:
  """The directories of all models."""
  return sorted((folder / "models").iterdir())


def quality(codec: bmshj_minnen.Codec) -> Optional[float]:
  """The quality of all files of a codec."""
  return _QUALITY if codec.config.gain_lambdas else None


def write(
  folder: pathlib.Path,
  setting: str,
  coded: Iterable[tuple[str, str, tuple[bytes, bmshj_minnen.Latents]]],
) -> None:
  """Writes the files of a setting.

  Args:
    folder: see `matrix.make_models`.
    setting: name of the setting.
    coded: for each file the model's name, a mode of the setting, the bytes, and the latents.
  """
  digests = {}
  for model, mode, (data, latents) in coded:
    name = f"{model}.{mode}.{setting}"
    (folder / f"{name}.tfci").write_bytes(data)
    digests[name] = runtimes.digest(latents)
  (folder / f"{setting}.json").write_text(json.dumps(digests))


def read(
  folder: pathlib.Path,
  setting: str,
  latents_of: Callable[[str, bytes, bool], dict[str, bmshj_minnen.Latents]],
) -> int:
  """Decodes the files of all settings and prints the differences.

  Args:
    folder: see `matrix.make_models`.
    setting: name of the setting that decodes.
    latents_of: a model's name, a file, and whether this setting wrote it -> latents by mode.

  Returns:
    The number of failures.
  """
  expected = {}
  for path in sorted(folder.glob("*.json")):
    expected.update(json.loads(path.read_text()))
  failures = 0
  for name, wanted in expected.items():
    data = (folder / f"{name}.tfci").read_bytes()
    found = latents_of(name.split(".")[0], data, name.endswith(f".{setting}"))
    for mode, latents in found.items():
      if runtimes.digest(latents) != wanted:
        failures += 1
        print(f"{name} decodes differently under {setting}, {mode}")
  print(f"{setting}: {len(expected)} files, {failures} failures")
  return failures
