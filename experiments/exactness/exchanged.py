"""Files that runtimes exchange, the results of reading them, and tables of these results."""

import hashlib
import itertools
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

import bmshj_minnen
from bmshj_minnen.evaluation import markdown
from bmshj_minnen.psnr import psnr
from experiments.exactness import runtimes

__all__ = ["compare", "read_files", "read_rows", "table", "write_files", "written_rows"]


def write_files(
  codec: bmshj_minnen.Codec, path: str, qualities: Sequence[float], folder: pathlib.Path
) -> list[dict[str, Any]]:
  """Compresses a photograph; files with the same bytes have the same name.

  Returns:
    A row for each quality: image, quality, the file's name and bytes, pixels, and a hash of ŷ, ẑ.
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
  """Decompresses all files of a photograph, and compares them with the first reader's pictures.

  Returns:
    File -> a hash of ŷ and ẑ, the picture's PSNR, the number of its samples that differ from the
    first reader's, and the largest difference in levels.
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
  """Compares two [H, W, 3] uint8: samples, differing samples, largest difference."""
  levels = np.abs(picture.astype(np.int16) - other)
  largest = int(levels.max(initial=0))
  return {"samples": levels.size, "differing": int(np.count_nonzero(levels)), "largest": largest}


def written_rows(
  written: dict[str, list[dict[str, Any]]], read: dict[str, dict[str, dict[str, Any]]]
) -> list[dict[str, Any]]:
  """A row for each writer and quality.

  Args:
    written: writer -> the rows of `write_files`.
    read: reader -> the files of `read_files`; PSNR is computed on the writer's own pictures.
  """
  first, rows = next(iter(written.values())), []
  for writer, own in written.items():
    for quality in sorted({row["quality"] for row in own}):
      pairs = [(a, b) for a, b in zip(own, first) if a["quality"] == quality]
      files = [row for row, _ in pairs]
      rows.append(
        {
          "writer": writer,
          "quality": quality,
          "files": len(files),
          "bytes of the first writer": sum(a["file"] == b["file"] for a, b in pairs),
          "mean bytes": statistics.mean(row["bytes"] for row in files),
          "mean bpp": statistics.mean(8 * row["bytes"] / row["pixels"] for row in files),
          "mean PSNR": statistics.mean(read[writer][row["file"]]["psnr"] for row in files),
        }
      )
  return rows


def read_rows(
  written: dict[str, list[dict[str, Any]]], read: dict[str, dict[str, dict[str, Any]]]
) -> list[dict[str, Any]]:
  """A row for each writer, reader and quality.

  Args:
    written: writer -> the rows of `write_files`.
    read: reader -> the files of `read_files`.
  """
  rows = []
  for (writer, own), (reader, found) in itertools.product(written.items(), read.items()):
    for quality in sorted({row["quality"] for row in own}):
      pairs = [(row, found[row["file"]]) for row in own if row["quality"] == quality]
      samples = sum(result["samples"] for _, result in pairs)
      rows.append(
        {
          "writer": writer,
          "reader": reader,
          "quality": quality,
          "files": len(pairs),
          "latents equal": sum(row["latents"] == result["latents"] for row, result in pairs),
          "samples differing": sum(result["differing"] for _, result in pairs),
          "of a million": 1e6 * sum(result["differing"] for _, result in pairs) / samples,
          "largest difference": max(result["largest"] for _, result in pairs),
          "mean PSNR": statistics.mean(result["psnr"] for _, result in pairs),
        }
      )
  return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
  """The same rows as a table."""
  texts = ([_text(value) for value in row.values()] for row in rows)
  return markdown.table([*rows[0]], texts, "l" * len(rows[0]))


def _text(value):
  return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
