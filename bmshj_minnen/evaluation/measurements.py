"""A table of measurements: one row a codec, setting and photograph, and averages of them."""

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bmshj_minnen import metrics
from bmshj_minnen.photographs import outputs

__all__ = ["DIGITS", "Row", "Table", "averages", "incomplete", "read_rows"]

DIGITS = 6  # After the point, of all figures.


@dataclasses.dataclass(frozen=True)
class Row:
  """One photograph through one file.

  Attributes:
    codec, setting: the curve and the point on it.
    version: of a model, a hash of its weights; else the encoder's version.
    image, crc32: the photograph's file name and the checksum of that file, which goes on over how
      its transparency was read, if that was said.
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
      entry[name] = round(statistics.fmean(getattr(row, name) for row in group), DIGITS)
    entry["ms_ssim_db"] = round(metrics.ms_ssim_db(entry["ms_ssim"]), DIGITS)
    result.append(entry)
  return result


def incomplete(rows: Sequence[Row]) -> list[tuple[str, str]]:
  """Codecs and settings that lack some photograph of the rows: their averages mislead."""
  images = {row.image for row in rows}
  measured: dict[tuple[str, str], set[str]] = {}
  for row in rows:
    measured.setdefault((row.codec, row.setting), set()).add(row.image)
  return [setting for setting, own in measured.items() if own != images]


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


class Table:
  """Rows in memory and in a file, which is usable whenever the program ends.

  Args:
    path: of the file; its rows are read if it is there.

  Raises:
    ValueError: the file is something else.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path
    self.rows = read_rows(path)

  def has(self, codec: str, setting: str, image: str) -> bool:
    """Whether there is such a row."""
    key = (codec, setting, image)
    return any((row.codec, row.setting, row.image) == key for row in self.rows)

  def drop_outdated(
    self, versions: Mapping[tuple[str, str], str], checksums: Mapping[str, str]
  ) -> None:
    """Forgets rows of other versions of codecs and photographs, and rewrites the file.

    Args:
      versions: of codecs and settings; rows of others are kept.
      checksums: of photographs; rows of others are kept.
    """
    self.rows = [
      row
      for row in self.rows
      if versions.get((row.codec, row.setting), row.version) == row.version
      and checksums.get(row.image, row.crc32) == row.crc32
    ]
    text = _csv_line(_NAMES) + "".join(map(_csv_line, map(dataclasses.astuple, self.rows)))
    outputs.write_atomically(str(self._path), text.encode())

  def add(self, row: Row) -> None:
    """Appends a row to the file, too."""
    self.rows.append(row)
    with open(self._path, "a", newline="", encoding="utf-8") as file:
      file.write(_csv_line(dataclasses.astuple(row)))


def _csv_line(values):
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator="\n").writerow(values)
  return buffer.getvalue()
