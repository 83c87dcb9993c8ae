"""Reads rate-distortion curves of other projects, and writes ours in CompressAI's format.

CompressAI's results are JSON, one file per codec: `name`, `description`, and `results` with lists
of equal length, one value per point: `bpp`, and `psnr-rgb` in dB and `ms-ssim-rgb` in 0..1 (`psnr`
and `ms-ssim` in older files). Other curves can be given as a CSV file with the columns `codec`,
`bpp`, `psnr_db` and `ms_ssim`, one row per point; a figure may be empty.

These files do not name their images: averages over other images than ours mislead.
"""

import csv
import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import curves, measurements
from bmshj_minnen.file_tools import outputs

__all__ = ["Curves", "read", "write_compressai"]

# {codec: {metric of `curves.METRICS`: curve}}
Curves = dict[str, dict[str, curves.Curve]]

_COMPRESSAI = {"psnr": ("psnr-rgb", "psnr"), "ms_ssim": ("ms-ssim-rgb", "ms-ssim")}
_COLUMNS = {"psnr": "psnr_db", "ms_ssim": "ms_ssim"}  # Columns of averages, too.
_REASON = 100  # Characters of an error that are shown.
_SECONDS = {"encoding_time": "encode_s", "decoding_time": "decode_s"}


def read(paths: Sequence[str]) -> Curves:
  """The curves of some files.

  Args:
    paths: paths of `.json` and `.csv` files, see above.

  Raises:
    OSError: a file cannot be read.
    ValueError: the content of a file is not valid, or two curves have the same name.
  """
  result: Curves = {}
  for path in paths:
    reader = _read_csv if path.lower().endswith(".csv") else _read_compressai
    for codec, points in reader(path).items():
      if codec in result:
        raise ValueError(f"{path}: there is a curve {codec!r} already: give it another name")
      result[codec] = {metric: _curve(metric, own) for metric, own in points.items() if own}
  return result


def _curve(metric, points):
  if metric == "ms_ssim":
    points = [(bpp, metrics.ms_ssim_db(value)) for bpp, value in points]
  return curves.curve(points)


def _read_compressai(path):
  try:
    data = json.loads(pathlib.Path(path).read_bytes())
    results, bpp = data["results"], _numbers(data["results"]["bpp"])
    name = str(data.get("name") or pathlib.Path(path).stem)
    found = {
      metric: next((_numbers(results[key]) for key in keys if key in results), [])
      for metric, keys in _COMPRESSAI.items()
    }
  except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
    line = f"{path} holds no results as CompressAI writes them: {_reason(error)}"
    raise ValueError(line) from error
  except RecursionError as error:
    raise ValueError(f"{path} holds no results as CompressAI writes them") from error
  for metric, values in found.items():
    if values and len(values) != len(bpp):
      raise ValueError(f"{path} has {len(bpp)} rates, but {len(values)} values of {metric}")
  _check(path, bpp, found)
  return {name: {metric: list(zip(bpp, values)) for metric, values in found.items()}}


def _numbers(values):
  return [float(value) for value in values]


def _reason(error):
  """An error in a short line: errors hold the text that they are about."""
  line = " ".join(str(error).split())
  if isinstance(error, KeyError):
    return f"{line} is missing"
  return line if len(line) <= _REASON else f"{line[:_REASON]}…"


def _read_csv(path):
  try:
    return _points_of(path)
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(f"{path} is not a table of figures: {_reason(error)}") from error


def _points_of(path):
  points: dict[str, dict[str, list[tuple[float, float]]]] = {}
  with open(path, newline="", encoding="utf-8-sig") as file:
    reader = csv.DictReader(file)
    missing = {"codec", "bpp"} - set(reader.fieldnames or ())
    if missing or not set(_COLUMNS.values()) & set(reader.fieldnames):
      raise ValueError(f"{path} needs the columns codec, bpp, and psnr_db or ms_ssim")
    for row in reader:
      if not row["codec"]:
        raise ValueError(f"{path}, line {reader.line_num}: the codec has no name")
      own = points.setdefault(row["codec"], {metric: [] for metric in _COLUMNS})
      try:
        figures = {m: float(row[c]) for m, c in _COLUMNS.items() if row.get(c)}
        bpp = float(row["bpp"])
      except (TypeError, ValueError) as error:
        raise ValueError(f"{path}, line {reader.line_num}: {_reason(error)}") from error
      _check(f"{path}, line {reader.line_num}", [bpp], {m: [v] for m, v in figures.items()})
      for metric, value in figures.items():
        own[metric].append((bpp, value))
  return points


def _check(where, bpp, found):
  if not all(0 < value < math.inf for value in bpp):
    raise ValueError(f"{where}: rates must be above 0 bits per pixel and finite")
  if not all(0 <= value <= 1 for value in found.get("ms_ssim", ())):
    raise ValueError(f"{where}: MS-SSIM must be in 0..1, not in decibels")


def write_compressai(rows: Sequence[measurements.Row], folder: pathlib.Path) -> list[pathlib.Path]:
  """Writes the averages of each codec for CompressAI's plots, in order of the rates.

  Leaves out a metric without a finite average at some setting.

  Args:
    rows: rows of all codecs.
    folder: folder for the files `CODEC.json`; created if it is missing.

  Returns:
    The paths of the files.
  """
  folder.mkdir(parents=True, exist_ok=True)
  groups: dict[str, list[dict[str, Any]]] = {}
  for entry in sorted(measurements.averages(rows), key=lambda entry: entry["bpp"]):
    groups.setdefault(entry["codec"], []).append(entry)
  paths = []
  for codec, entries in groups.items():
    columns = {"bpp": "bpp", **_SECONDS}
    columns.update((key, _COLUMNS[metric]) for metric, keys in _COMPRESSAI.items() for key in keys)
    results = {key: [entry[column] for entry in entries] for key, column in columns.items()}
    results = {key: own for key, own in results.items() if all(map(math.isfinite, own))}
    text = json.dumps({"name": codec, "description": _description(rows, codec), "results": results})
    paths.append(folder / f"{codec.replace(os.sep, '_')}.json")
    outputs.write_atomically(str(paths[-1]), f"{text}\n".encode())
  return paths


def _description(rows, codec):
  own = [row for row in rows if row.codec == codec]
  count = len({row.image for row in own})
  return f"bmshj_minnen evaluate, {count} images, whole files, version {own[0].version}"
