"""Files and tables on any of Beam's file systems."""

import csv
import io
import secrets

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

__all__ = ["read_file", "write_file", "write_table"]


def read_file(path: str) -> bytes:
  """The content of a file on any of Beam's file systems."""
  with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
    return file.read()


def write_file(path: str, content: bytes) -> None:
  """Writes to .NUMBER.tmp in the same folder, then renames: the file is whole or not there."""
  folder, _ = FileSystems.split(path)
  temporary = FileSystems.join(folder, f".{secrets.randbits(48)}.tmp")
  with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
    file.write(content)
  try:
    FileSystems.rename([temporary], [path])
  except BaseException:
    FileSystems.delete([temporary])
    raise


def write_table(rows: beam.PCollection, output: str, name: str, columns: tuple[str, ...]) -> None:
  """Writes rows as the CSV file of that name in the output, whole or not at all."""
  _ = (
    rows
    | f"Format {name}" >> beam.Map(_line)
    | f"Write {name}"
    >> beam.io.WriteToText(
      FileSystems.join(output, name),
      ".csv",
      num_shards=1,
      shard_name_template="",
      header=_line(columns),
    )
  )


def _line(row):
  buffer = io.StringIO()
  csv.writer(buffer, lineterminator="").writerow(row)
  return buffer.getvalue()
