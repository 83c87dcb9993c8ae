"""Photographs through real files: size, quality and time of codecs, one row a photograph.

An output folder holds

    images.csv       one row a codec, setting and photograph (see `Row`)
    averages.json    averages over the photographs, one entry a codec and setting
    files/           the compressed files, if they are kept

Rows that are there already are not measured again, so that an evaluation that was interrupted goes
on, and one table collects many codecs.
"""

import csv
import dataclasses
import functools
import glob
import hashlib
import io
import json
import math
import pathlib
import statistics
import tempfile
import time
import zlib
from collections.abc import Sequence
from typing import Any, Callable

from absl import logging

from bmshj_minnen import catalogue, classical, images, metrics, model_directory
from bmshj_minnen import config as cfg

__all__ = ["EvaluationConfig", "Row", "averages", "evaluate", "read_rows"]

_TABLE = "images.csv"
_AVERAGES = "averages.json"
_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """What is measured.

  Attributes:
    images: a pattern of photographs; they are known by their file names.
    output: the folder of the results.
    models: model directories, patterns of them, or names of shipped ones; each is one setting.
    label: what the models are called as a codec; empty: by their prior.
    codecs: names of `classical.FORMATS`.
    qualities: settings of all these codecs; empty: those of `classical.FORMATS`.
    precision: of the models' codecs; models in bfloat16 are settings of their own.
    keep_files: whether the compressed files stay in the output folder.
  """

  images: str
  output: str
  models: Sequence[str] = ()
  label: str = ""
  codecs: Sequence[str] = ()
  qualities: Sequence[int] = ()
  precision: str = "float32"
  keep_files: bool = False


@dataclasses.dataclass(frozen=True)
class Row:
  """One photograph through one file.

  Attributes:
    codec, setting: the curve and the point on it.
    version: of a model, a hash of its weights; else the encoder's version.
    image, crc32: the photograph's file name and the checksum of that file.
    width, height: pixels.
    bytes: size of the compressed file.
    bpp: its bits, headers and all, for each pixel.
    psnr_db: of 8-bit RGB, the error averaged over all channels.
    ms_ssim, ms_ssim_db: of 8-bit RGB, averaged over channels; see `metrics.ms_ssim_db`.
    encode_s, decode_s: seconds between pixels and bytes, after a first run to warm up.
  """

  codec: str
  setting: str
  version: str
  image: str
  crc32: str
  width: int
  height: int
  bytes: int
  bpp: float
  psnr_db: float
  ms_ssim: float
  ms_ssim_db: float
  encode_s: float
  decode_s: float


_FIELDS = dataclasses.fields(Row)
_NAMES = [field.name for field in _FIELDS]


@dataclasses.dataclass(frozen=True)
class _Contender:
  """A codec at one setting."""

  codec: str
  setting: str
  version: str
  suffix: str
  make: Callable[[], classical.Codec]


def evaluate(config: EvaluationConfig) -> list[dict[str, Any]]:
  """Measures what is missing from the output folder, and logs its progress.

  Returns:
    The averages of the whole table.

  Raises:
    ValueError: no photographs, not a model, an unknown or missing codec, or one that cannot code a
      photograph.
  """
  photographs = _find_photographs(config.images)
  contenders = _contenders(config)
  output = pathlib.Path(config.output)
  output.mkdir(parents=True, exist_ok=True)
  table = _Table(output / _TABLE)
  table.drop_outdated(contenders, photographs)
  missing = [(c, p) for c in contenders for p in photographs if not table.has(c, p)]
  done = 0
  try:
    for contender in contenders:
      todo = [photograph for c, photograph in missing if c is contender]
      for row in _measure(contender, todo, output, config.keep_files):
        table.add(row)
        done += 1
        figures = f"{row.bpp:.3f} bpp, {row.psnr_db:.2f} dB, MS-SSIM {row.ms_ssim:.4f}"
        name = f"{row.codec} {row.setting}, {row.image}"
        logging.info("[%d/%d] %s: %s", done, len(missing), name, figures)
  finally:
    result = averages(table.rows)
    # JSON has neither nan nor inf.
    entries = [{k: v if v == v != math.inf else None for k, v in e.items()} for e in result]
    text = json.dumps(entries, indent=2, allow_nan=False) + "\n"
    images.write_atomically(str(output / _AVERAGES), text.encode())
  return result


def averages(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Averages over the photographs, one entry a codec and setting, in order of appearance.

  PSNR is averaged in decibels. `ms_ssim_db` is that of the average MS-SSIM, which is the only thing
  that publications give.
  """
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    groups.setdefault((row.codec, row.setting), []).append(row)
  result = []
  for (codec, setting), group in groups.items():
    entry = {"codec": codec, "setting": setting, "version": group[0].version, "images": len(group)}
    for name in ("bytes", "bpp", "psnr_db", "ms_ssim", "encode_s", "decode_s"):
      entry[name] = round(statistics.fmean(getattr(row, name) for row in group), _DIGITS)
    entry["ms_ssim_db"] = round(metrics.ms_ssim_db(entry["ms_ssim"]), _DIGITS)
    result.append(entry)
  return result


def read_rows(path: pathlib.Path) -> list[Row]:
  """The whole rows of a table; none if there is no such file.

  Raises:
    ValueError: the file is something else.
  """
  if not path.exists():
    return []
  # A line that was cut off would still parse, with wrong digits at its end.
  lines = [
    line for line in path.read_text("utf-8").splitlines(keepends=True) if line.endswith("\n")
  ]
  reader = csv.DictReader(lines)
  if lines and reader.fieldnames != _NAMES:
    raise ValueError(f"{path} is not a table of evaluations: delete it, or give another folder")
  try:
    return [Row(**{field.name: field.type(row[field.name]) for field in _FIELDS}) for row in reader]
  except (TypeError, ValueError) as error:
    raise ValueError(f"{path}, line {reader.line_num}, is damaged: delete the line") from error


class _Table:
  """Rows in memory and in a file, which is usable whenever the program ends."""

  def __init__(self, path: pathlib.Path):
    self._path = path
    self.rows = read_rows(path)

  def has(self, contender, photograph) -> bool:
    key = (contender.codec, contender.setting, photograph.name)
    return any((row.codec, row.setting, row.image) == key for row in self.rows)

  def drop_outdated(self, contenders, photographs):
    """Forgets rows of other versions of codecs and photographs, and rewrites the file."""
    versions = {(c.codec, c.setting): c.version for c in contenders}
    checksums = {photograph.name: photograph.crc32 for photograph in photographs}
    self.rows = [
      row
      for row in self.rows
      if versions.get((row.codec, row.setting), row.version) == row.version
      and checksums.get(row.image, row.crc32) == row.crc32
    ]
    text = _csv_line(_NAMES) + "".join(map(_csv_line, map(dataclasses.astuple, self.rows)))
    images.write_atomically(str(self._path), text.encode())

  def add(self, row: Row):
    self.rows.append(row)
    with open(self._path, "a", newline="", encoding="utf-8") as file:
      file.write(_csv_line(dataclasses.astuple(row)))


@dataclasses.dataclass(frozen=True)
class _Photograph:
  path: str
  name: str
  crc32: str


def _find_photographs(pattern):
  found = {}
  for path in sorted(glob.glob(pattern, recursive=True)):
    name = pathlib.Path(path).name
    if name in found:
      raise ValueError(f"two photographs are called {name}: rename one of them")
    found[name] = _Photograph(path, name, f"{zlib.crc32(pathlib.Path(path).read_bytes()):08x}")
  if not found:
    raise ValueError(f"no file matches {pattern}")
  return list(found.values())


def _contenders(config):
  contenders = []
  for pattern in config.models:
    for directory in sorted(glob.glob(pattern)) or [pattern]:
      contenders.append(_model(catalogue.find(directory), config.label, config.precision))
  for name in config.codecs:
    contenders += _classical(name, config.qualities)
  if not contenders:
    raise ValueError("nothing to evaluate: give --model or --codecs")
  names = [f"{c.codec} {c.setting}" for c in contenders]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise ValueError(f"{twice.pop()} is given twice; rename a model directory if they differ")
  return contenders


def _model(directory, label, precision):
  files = sorted(directory.glob("*.npz"))
  if not files:
    raise ValueError(f"{directory} is not a trained model: it has no weights")
  digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
  codec = label or cfg.ModelConfig.load(directory / "config.json").prior
  setting = directory.resolve().name
  if precision != "float32":
    setting += f" {precision}"
  load = functools.partial(model_directory.load, directory, precision=precision)
  return _Contender(codec, setting, digest[:8], ".tfci", load)


def _classical(name, qualities):
  contenders = []
  for quality in qualities or getattr(classical.FORMATS.get(name), "qualities", (0,)):
    codec = classical.PillowCodec(name, quality)  # Complains before anything is measured.
    form = classical.FORMATS[name]
    contenders.append(
      _Contender(name, str(quality), form.version(), form.suffix, lambda codec=codec: codec)
    )
  return contenders


def _measure(contender, photographs, output, keep_files):
  """Yields a row a photograph."""
  if not photographs:
    return
  codec = contender.make()
  with tempfile.TemporaryDirectory(dir=output) as folder:
    folder = pathlib.Path(folder)
    if keep_files:
      folder = output / "files" / contender.codec / contender.setting
      folder.mkdir(parents=True, exist_ok=True)
    # The first run of a learned codec traces its graphs.
    _measure_one(contender, codec, photographs[0], folder)
    for photograph in photographs:
      yield _measure_one(contender, codec, photograph, folder)


def _measure_one(contender, codec, photograph, folder):
  x = images.read_image(photograph.path)
  file = folder / f"{photograph.name}{contender.suffix}"
  start = time.perf_counter()
  try:
    data = codec.compress(x)
  except (OSError, ValueError) as error:
    name = f"{contender.codec} {contender.setting}"
    raise ValueError(f"{name} cannot code {photograph.path}: {error}") from error
  encode_s = time.perf_counter() - start
  file.write_bytes(data)
  data = file.read_bytes()
  start = time.perf_counter()
  x_hat = codec.decompress(data)
  decode_s = time.perf_counter() - start
  height, width = x.shape[:2]
  size = file.stat().st_size
  ms_ssim = float(metrics.ms_ssim(x, x_hat))
  ms_ssim_db = metrics.ms_ssim_db(ms_ssim)
  figures = (8 * size / (height * width), metrics.psnr(x, x_hat), ms_ssim, ms_ssim_db)
  figures = (round(figure, _DIGITS) for figure in (*figures, encode_s, decode_s))
  names = (contender.codec, contender.setting, contender.version, photograph.name, photograph.crc32)
  return Row(*names, width, height, size, *figures)


def _csv_line(values):
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator="\n").writerow(values)
  return buffer.getvalue()
