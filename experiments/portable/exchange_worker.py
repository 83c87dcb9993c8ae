"""Writes files, or reads those of all, in a process of one runtime; see `exchange.py`."""

import glob
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags

import bmshj_minnen
from bmshj_minnen.psnr import psnr
from experiments.portable import runtimes

__all__ = ["compare", "read_files", "write_files"]

_FOLDER = flags.DEFINE_string("folder", None, "Takes the files and what was found.", required=True)
_NAME = flags.DEFINE_string("name", None, "Of this process.", required=True)
_RUNTIME = flags.DEFINE_enum("runtime", None, runtimes.RUNTIMES, "Of the codec.", required=True)
_THREADS = flags.DEFINE_integer("threads", 1, "Of the runtime.", lower_bound=1)
_MODEL = flags.DEFINE_string("model", None, "A model that ships.", required=True)
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_QUALITIES = flags.DEFINE_list("qualities", None, "Of the files.", required=True)
_READ = flags.DEFINE_bool("read", False, "Reads the files of all; else writes its own.")


def write_files(
  codec: bmshj_minnen.Codec, path: str, qualities: Sequence[float], folder: pathlib.Path
) -> list[dict[str, Any]]:
  """Compresses a photograph; files with the same bytes have the same name.

  Returns:
    For each quality the image, the quality, the file's name and bytes, pixels, and a hash of ŷ, ẑ.
  """
  image, rows = bmshj_minnen.read_image(path), []
  for quality, (data, sent) in zip(qualities, codec.at_qualities(image, qualities)):
    stem, content = pathlib.Path(path).stem, hashlib.sha256(data).hexdigest()
    name = f"{stem}.{quality:g}.{content[:16]}.tfci"
    (folder / name).write_bytes(data)
    row = {"image": stem, "quality": quality, "file": name, "bytes": len(data)}
    rows.append({**row, "pixels": image.size // 3, "latents": runtimes.digest(sent)})
  return rows


def read_files(
  codec: bmshj_minnen.Codec, path: str, folder: pathlib.Path
) -> dict[str, dict[str, Any]]:
  """Decompresses all files of a photograph, and compares them with those that were read first.

  Returns:
    File -> a hash of ŷ and ẑ, the picture's PSNR, and of its samples how many differ from those of
    the first reader, and by how many levels at most.
  """
  image, result = bmshj_minnen.read_image(path), {}
  for file in sorted(folder.glob(f"{pathlib.Path(path).stem}.*.tfci")):
    data, first = file.read_bytes(), file.with_suffix(".npy")
    picture = codec.decompress(data)
    if not first.exists():
      np.save(first, picture)
    latents = runtimes.digest(codec.latents(data))
    found = {"latents": latents, "psnr": psnr(image, picture)}
    result[file.name] = {**found, **compare(picture, np.load(first))}
  return result


def compare(picture: np.ndarray, other: np.ndarray) -> dict[str, int]:
  """Samples in all, samples that differ, and the largest difference, of two uint8 arrays."""
  levels = np.abs(picture.astype(np.int16) - other)
  largest = int(levels.max(initial=0))
  return {"samples": levels.size, "differing": int(np.count_nonzero(levels)), "largest": largest}


def main(argv):
  """Flags -> NAME.written.json or NAME.read.json in the folder."""
  if len(argv) > 1:
    raise app.UsageError(f"unknown argument {argv[1]!r}")
  runtimes.limit_threads(_RUNTIME.value, _THREADS.value)
  codec = runtimes.load(_RUNTIME.value, _MODEL.value)
  folder, paths = pathlib.Path(_FOLDER.value), sorted(glob.glob(_IMAGES.value))
  if _READ.value:
    found = {file: row for path in paths for file, row in read_files(codec, path, folder).items()}
  else:
    qualities = [*map(float, _QUALITIES.value)]
    found = [row for path in paths for row in write_files(codec, path, qualities, folder)]
  place = folder / f"{_NAME.value}.{'read' if _READ.value else 'written'}.json"
  place.write_text(json.dumps(found))


if __name__ == "__main__":
  app.run(main)
