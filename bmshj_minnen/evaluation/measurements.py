"""Measurements, one row per codec, setting and photograph, and their averages."""

import csv
import dataclasses
import io
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from bmshj_minnen import metrics
from bmshj_minnen.file_tools import outputs

__all__ = [
  "AVERAGED",
  "DIGITS",
  "PERCEPTUAL",
  "Row",
  "Table",
  "averages",
  "incomplete",
  "perceptual_columns",
  "read_rows",
  "settings_without_figures",
  "without_figure",
]

AVERAGED = ("psnr_db", "ms_ssim")  # Columns in which some photographs have no finite figure.
PERCEPTUAL = ("ssimulacra2", "flip")  # Columns that a table has only on demand, see `perceptual`.
DIGITS = 6  # Digits after the decimal point of all figures.


@dataclasses.dataclass(frozen=True)
class Row:
  """Measurement of one photograph through one file.

  Attributes:
    codec, setting: the curve and the point on it.
    version: hash of a model's weights, or version of a classical encoder.
    image, crc32: file name of the photograph, and checksum of the file and of `alpha`, if given.
    width, height: size of the photograph in pixels.
    bytes: size of the compressed file.
    bpp: bits per pixel of the whole compressed file, including headers.
    psnr_db: PSNR of 8-bit RGB in dB, the error averaged over all channels.
    ms_ssim, ms_ssim_db: MS-SSIM of 8-bit RGB, averaged over channels; see `metrics.ms_ssim_db`.
    encode_s, decode_s: seconds between pixels and bytes, after a first run to warm up.
    ssimulacra2, flip: see `perceptual.METRICS`; None: not measured.
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
  ssimulacra2: Optional[float] = None
  flip: Optional[float] = None


_FIELDS = [field for field in dataclasses.fields(Row) if field.name not in PERCEPTUAL]
_NAMES = [field.name for field in _FIELDS]


def averages(rows: Sequence[Row]) -> list[dict[str, Any]]:
  """Averages over the photographs, one entry per codec and setting, in order of appearance.

  PSNR is averaged in decibels. `ms_ssim_db` is computed from the average MS-SSIM, the only value
  that publications give. Both are averaged without the photographs of `without_figure`;
  `psnr_images` and `ms_ssim_images` count the others. All other columns are averaged over all
  photographs. A setting without finite figures has no finite average. A perceptual metric has an
  average, the mean, if any row has it; it is NaN for settings that lack it for some photograph.
  """
  groups: dict[tuple[str, str], list[Row]] = {}
  for row in rows:
    groups.setdefault((row.codec, row.setting), []).append(row)
  left_out = {column: without_figure(rows, column) for column in AVERAGED}
  result = []
  for (codec, setting), group in groups.items():
    entry = {"codec": codec, "setting": setting, "version": group[0].version, "images": len(group)}
    for name in ("bytes", "bpp", "encode_s", "decode_s"):
      entry[name] = _mean(getattr(row, name) for row in group)
    psnrs = [row.psnr_db for row in group if row.image not in left_out["psnr_db"]]
    entry["psnr_db"] = _mean(psnrs)
    entry["psnr_images"] = sum(map(math.isfinite, psnrs))
    # 1 - MS-SSIM is computed from decibels, because rounded MS-SSIM near 1 has few digits of it.
    missing = [
      10 ** (-row.ms_ssim_db / 10) for row in group if row.image not in left_out["ms_ssim"]
    ]
    ms_ssim = 1 - statistics.fmean(missing or [math.nan])
    entry["ms_ssim"] = round(ms_ssim, DIGITS)
    entry["ms_ssim_db"] = round(metrics.ms_ssim_db(ms_ssim), DIGITS)
    entry["ms_ssim_images"] = sum(map(math.isfinite, missing))
    for name in perceptual_columns(rows):
      values = [getattr(row, name) for row in group]
      entry[name] = math.nan if None in values else _mean(values)
    result.append(entry)
  return result


def perceptual_columns(rows: Sequence[Row]) -> list[str]:
  """The metrics of `PERCEPTUAL` that any row has."""
  return [name for name in PERCEPTUAL if any(getattr(row, name) is not None for row in rows)]


def _mean(values):
  return round(statistics.fmean([*values] or [math.nan]), DIGITS)


def without_figure(rows: Sequence[Row], column: str) -> dict[str, list[Row]]:
  """Photographs without some figure, which are left out of the averages of all codecs.

  Args:
    rows: rows of all codecs and settings.
    column: one of `AVERAGED`.

  Returns:
    Photograph -> its rows whose figure is not finite: the PSNR of an exact reconstruction, or the
    MS-SSIM of a photograph that is too small. Settings without any finite figure are ignored.
  """
  settings = settings_without_figures(rows, column)
  result: dict[str, list[Row]] = {}
  for row in rows:
    if not math.isfinite(getattr(row, column)) and (row.codec, row.setting) not in settings:
      result.setdefault(row.image, []).append(row)
  return result


def settings_without_figures(rows: Sequence[Row], column: str) -> list[tuple[str, str]]:
  """Codecs and settings without a finite figure for any photograph."""
  found: dict[tuple[str, str], bool] = {}
  for row in rows:
    key = (row.codec, row.setting)
    found[key] = found.get(key, False) or math.isfinite(getattr(row, column))
  return [key for key, finite in found.items() if not finite]


def incomplete(rows: Sequence[Row]) -> list[tuple[str, str]]:
  """Codecs and settings without rows for some photographs; their averages would mislead."""
  images = {row.image for row in rows}
  measured: dict[tuple[str, str], set[str]] = {}
  for row in rows:
    measured.setdefault((row.codec, row.setting), set()).add(row.image)
  return [setting for setting, own in measured.items() if own != images]


def read_rows(path: pathlib.Path) -> list[Row]:
  """The complete rows of a table; empty if the file does not exist.

  If several rows are of the same codec, setting and image, the last one counts.

  Raises:
    ValueError: the file is not a table of evaluations, or a line is damaged.
  """
  if not path.exists():
    return []
  try:
    # Spreadsheets put a byte order mark first.
    text = path.read_bytes().decode("utf-8-sig")
    # A truncated line would still parse, with wrong digits at its end. Names may contain characters
    # that `splitlines` treats as line ends.
    lines = text[: text.rfind("\n") + 1].split("\n")[:-1]
    reader = csv.DictReader(lines)
    names = reader.fieldnames
  except (UnicodeDecodeError, csv.Error):
    names = []
  optional = (names or _NAMES)[len(_NAMES) :]
  if names is not None and names != _NAMES + [name for name in PERCEPTUAL if name in optional]:
    raise ValueError(f"{path} is not a table of evaluations: delete it, or give another folder")
  try:
    rows = [_row(cells, optional) for cells in reader]
  except (TypeError, ValueError, csv.Error) as error:
    raise ValueError(f"{path}, line {reader.line_num}, is damaged: delete the line") from error
  return list({_key(row): row for row in rows}.values())


def _row(cells, optional):
  figures = {field.name: field.type(cells[field.name]) for field in _FIELDS}
  # Lines that are cut off have None in place of cells.
  return Row(**figures, **{n: float(cells[n]) if cells[n] != "" else None for n in optional})


class Table:
  """Rows in memory and in a file; the file is usable whenever the program ends.

  Args:
    path: path of the file; its rows are read if it exists.
    perceptual: metrics of `PERCEPTUAL` that rows should have.

  Raises:
    ValueError: the file is not a table of evaluations, or a line is damaged.
  """

  def __init__(self, path: pathlib.Path, perceptual: Sequence[str] = ()):
    self._path = path
    self._wanted = perceptual
    self.rows = read_rows(path)
    self._columns = [
      *_NAMES,
      *(n for n in PERCEPTUAL if n in {*perceptual, *perceptual_columns(self.rows)}),
    ]

  def has(self, codec: str, setting: str, image: str) -> bool:
    """Whether the table has a row of this codec, setting and image, with all wanted metrics."""
    return any(
      _key(row) == (codec, setting, image) and None not in [getattr(row, n) for n in self._wanted]
      for row in self.rows
    )

  def drop_outdated(
    self, versions: Mapping[tuple[str, str], str], checksums: Mapping[str, str]
  ) -> None:
    """Removes rows of other versions of codecs and photographs, and rewrites the file.

    Args:
      versions: (codec, setting) -> version; rows of other settings are kept.
      checksums: photograph -> checksum; rows of other photographs are kept.
    """
    self.rows = [
      row
      for row in self.rows
      if versions.get((row.codec, row.setting), row.version) == row.version
      and checksums.get(row.image, row.crc32) == row.crc32
    ]
    self._write()

  def add(self, row: Row) -> None:
    """Appends a row, also to the file, or replaces the row of the same codec, setting and image."""
    index = next((i for i, other in enumerate(self.rows) if _key(other) == _key(row)), None)
    if index is not None:
      self.rows[index] = row
      self._write()
      return
    self.rows.append(row)
    with open(self._path, "a", newline="", encoding="utf-8") as file:
      file.write(self._line(row))

  def _write(self):
    text = _csv_line(self._columns) + "".join(map(self._line, self.rows))
    outputs.write_atomically(str(self._path), text.encode())

  def _line(self, row):
    return _csv_line([getattr(row, name) for name in self._columns])


def _key(row):
  return (row.codec, row.setting, row.image)


def _csv_line(values):
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator="\n").writerow(values)
  return buffer.getvalue()
