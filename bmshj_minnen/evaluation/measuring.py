"""Photographs through real files: size, quality and time of codecs, one row a photograph.

An output folder holds

    images.csv       one row a codec, setting and photograph (see `measurements.Row`)
    averages.json    averages over the photographs, one entry a codec and setting
    files/           the compressed files, if they are kept

Rows that are there already are not measured again, so that an evaluation that was interrupted goes
on, and one table collects many codecs.
"""

import dataclasses
import functools
import glob
import hashlib
import json
import math
import os
import pathlib
import tempfile
import time
import zlib
from collections.abc import Sequence
from typing import Any, Callable, Optional

from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen import metrics
from bmshj_minnen.coding import dial
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.evaluation import classical
from bmshj_minnen.evaluation.measurements import DIGITS, Row, Table, averages
from bmshj_minnen.model_files import catalogue, model_directory
from bmshj_minnen.photographs import images, outputs

__all__ = ["EvaluationConfig", "evaluate"]

_QUALITIES = tuple(range(1, 101, 9))  # Of models for many rates.
_TABLE = "images.csv"
_AVERAGES = "averages.json"


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """What is measured.

  Attributes:
    images: a pattern of photographs; they are known by their file names.
    output: the folder of the results.
    models: model directories, patterns of them, or names of shipped ones; each is one setting, or
      if it is for many rates one for each quality.
    label: what the models are called as a codec; empty: by their prior.
    codecs: names of `classical.FORMATS`.
    qualities: settings of all these codecs and of models for many rates; empty: those of
      `classical.FORMATS`, and twelve from 1 to 100.
    precision: of the models' codecs; models in bfloat16 are settings of their own.
    refine, lmbda: as of `model_directory.load`; refined models are another codec.
    alpha: see `images.read_image`.
    keep_files: whether the compressed files stay in the output folder.
  """

  images: str
  output: str
  models: Sequence[str] = ()
  label: str = ""
  codecs: Sequence[str] = ()
  qualities: Sequence[int] = ()
  precision: str = cfg.CODEC_PRECISIONS[0]
  refine: int = 0
  lmbda: Optional[float] = None
  alpha: Optional[str] = None
  keep_files: bool = False


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
    ValueError: no photographs, or files that are none; not a model, an unknown or missing codec, or
      one that cannot code a photograph. But for the last, nothing was measured yet.
  """
  photographs = _find_photographs(config.images, config.alpha)
  contenders = _contenders(config)
  output = pathlib.Path(config.output)
  output.mkdir(parents=True, exist_ok=True)
  table = Table(output / _TABLE)
  table.drop_outdated(
    {(c.codec, c.setting): c.version for c in contenders}, {p.name: p.crc32 for p in photographs}
  )
  missing = [
    (c, p) for c in contenders for p in photographs if not table.has(c.codec, c.setting, p.name)
  ]
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
    outputs.write_atomically(str(output / _AVERAGES), text.encode())
  return result


@dataclasses.dataclass(frozen=True)
class _Photograph:
  path: str
  name: str
  crc32: str
  alpha: Optional[str]


def _find_photographs(pattern, alpha):
  found, unreadable = {}, []
  paths = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
  for path in paths:
    name = pathlib.Path(path).name
    if name in found:
      raise ValueError(f"two photographs are called {name}: rename one of them")
    content = pathlib.Path(path).read_bytes()
    # Read in another way, it is another photograph.
    crc32 = zlib.crc32((alpha or "").encode(), zlib.crc32(content))
    found[name] = _Photograph(path, name, f"{crc32:08x}", alpha)
    try:
      images.read_image(path, alpha, content=content, note=logging.debug)
    except images.ImageError as error:
      unreadable.append(str(error))
  if not found:
    raise ValueError(f"no file matches {pattern}")
  if unreadable:  # Averages over fewer photographs than were meant would mislead.
    counts = f"{len(unreadable)} of {len(paths)} files cannot be measured"
    raise ValueError(f"{counts}, leave them out of {pattern}: {'; '.join(unreadable)}")
  return list(found.values())


def _contenders(config):
  contenders = []
  for pattern in config.models:
    for directory in sorted(glob.glob(pattern)) or [pattern]:
      contenders += _model(catalogue.find(directory), config)
  for name in config.codecs:
    contenders += _classical(name, config.qualities)
  if not contenders:
    raise ValueError("nothing to evaluate: give --model or --codecs")
  names = [f"{c.codec} {c.setting}" for c in contenders]
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    raise ValueError(f"{twice.pop()} is given twice; rename a model directory if they differ")
  return contenders


def _model(directory, config):
  files = sorted(directory.glob("*.npz"))
  if not files:
    raise ValueError(f"{directory} is not a trained model: it has no weights")
  digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
  model_config = cfg.ModelConfig.load(directory / "config.json")
  codec = config.label or model_config.prior
  codec += f"+refine{config.refine}" if config.refine else ""
  setting = directory.resolve().name
  setting += f" λ={config.lmbda:g}" if config.lmbda else ""
  if config.precision != cfg.CODEC_PRECISIONS[0]:
    setting += f" {config.precision}"
  load = functools.partial(
    model_directory.load,
    directory,
    precision=config.precision,
    refine=config.refine,
    lmbda=config.lmbda,
  )
  if not model_config.gain_lambdas:
    return [_Contender(codec, setting, digest[:8], ".tfci", load)]
  qualities = config.qualities or _QUALITIES
  for quality in qualities:
    dial.lambda_of(quality, model_config)  # Complains before anything is measured.
  load = functools.cache(load)  # Once for all qualities.
  return [
    _Contender(
      codec,
      f"{setting} q{quality}",
      digest[:8],
      ".tfci",
      lambda quality=quality: _AtQuality(load(), quality),
    )
    for quality in qualities
  ]


@dataclasses.dataclass(frozen=True)
class _AtQuality:
  """A codec for many rates at one of them."""

  codec: Codec
  quality: int

  def compress(self, image):
    return self.codec.compress(image, quality=self.quality)

  def decompress(self, data):
    return self.codec.decompress(data)


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
  x = images.read_image(photograph.path, photograph.alpha)
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
  figures = (round(figure, DIGITS) for figure in (*figures, encode_s, decode_s))
  names = (contender.codec, contender.setting, contender.version, photograph.name, photograph.crc32)
  return Row(*names, width, height, size, *figures)
