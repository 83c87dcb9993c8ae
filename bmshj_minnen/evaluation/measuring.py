"""Measures size, quality and time of codecs through real files, one row per photograph.

An output folder contains

    images.csv       one row per codec, setting and photograph (see `measurements.Row`)
    averages.json    averages over the photographs, one entry per codec and setting
    files/           the compressed files, if they are kept

Existing rows are not measured again, so that an interrupted evaluation can continue, and one table
can collect many codecs. A folder without such a table, but with another file that an evaluation
would write, belongs to another program, and is refused.
"""

import json
import math
import pathlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any, Optional

from absl import logging

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import perceptual, summary
from bmshj_minnen.evaluation.measurements import DIGITS, Row, Table, averages
from bmshj_minnen.evaluation.subjects import (
  Contender,
  EvaluationConfig,
  Photograph,
  find_contenders,
  find_photographs,
)
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.runtime import locks

__all__ = ["TABLE", "EvaluationConfig", "evaluate", "kept_file"]

TABLE = "images.csv"
_AVERAGES = "averages.json"
_FILES = "files"


def evaluate(config: EvaluationConfig) -> list[dict[str, Any]]:
  """Measures the rows that the output folder lacks, and logs progress.

  Returns:
    The averages of the whole table.

  Raises:
    ValueError: the output belongs to another program; the photographs are missing or not valid; a
      model is not valid; a codec or metric is unknown or not installed; another evaluation writes
      to the output; a codec cannot code a photograph. Only the last error occurs after measurements
      have begun.
  """
  photographs = find_photographs(config.images, config.alpha)
  contenders = find_contenders(config)
  metric_of = {name: perceptual.metric(name) for name in config.perceptual}
  output = pathlib.Path(config.output)
  _refuse_other(output, config.keep_files)
  line = f"another evaluation writes to {output}: wait for it, or give another --output"
  with locks.exclusive(output, line):
    return _evaluate(config, output, photographs, contenders, metric_of)


def _evaluate(config, output, photographs, contenders, metric_of):
  table = Table(output / TABLE, config.perceptual)
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
      for row in _measure(contender, todo, output, config.keep_files, metric_of):
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


def kept_file(
  output: pathlib.Path, rows: Sequence[Row], contender: Contender, photograph: Photograph
) -> Optional[bytes]:
  """The compressed file of a photograph that an evaluation has kept; None if there is none.

  A file of another size than its row has is left over from other measurements.
  """
  key = (contender.codec, contender.setting, photograph.name)
  path = _folder_of(output, contender) / _name_of(contender, photograph)
  for row in rows:
    if (row.codec, row.setting, row.image) == key and path.exists():
      data = path.read_bytes()
      return data if len(data) == row.bytes else None
  return None


def _folder_of(output, contender):
  return output / _FILES / contender.codec / contender.setting


def _name_of(contender, photograph):
  return f"{photograph.name}{contender.suffix}"


def _refuse_other(output, keep_files):
  """Raises ValueError if results would replace files of another program."""
  if (output / TABLE).exists():  # `Table` checks its content.
    return
  names = (_AVERAGES, *summary.FILES, *([_FILES] if keep_files else []))
  found = [name for name in names if (output / name).exists()]
  if found:
    raise ValueError(
      f"{output} has {' and '.join(found)}, but no {TABLE} of an evaluation: give another folder"
    )


def _measure(contender, photographs, output, keep_files, metric_of):
  """Yields one row per photograph; `metric_of` is {name: perceptual metric}."""
  if not photographs:
    return
  codec = contender.make()
  name = f"{contender.codec} {contender.setting}"
  logging.info("%s, %s, of %d photographs", name, contender.version, len(photographs))
  with tempfile.TemporaryDirectory(dir=output) as folder:
    folder = pathlib.Path(folder)
    if keep_files:
      folder = _folder_of(output, contender)
      folder.mkdir(parents=True, exist_ok=True)
    # The first run of a learned codec traces graphs, so it is not timed.
    _measure_one(contender, codec, photographs[0], folder, {})
    for photograph in photographs:
      yield _measure_one(contender, codec, photograph, folder, metric_of)


def _measure_one(contender, codec, photograph, folder, metric_of):
  x = photograph.read()
  file = folder / _name_of(contender, photograph)
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
  perceived = {name: round(metric(x, x_hat), DIGITS) for name, metric in metric_of.items()}
  return Row(*names, width, height, size, *figures, **perceived)
