"""Tells what compressed files hold, without a model: `python -m bmshj_minnen.info FILE...`."""

import os
import pathlib
import sys

from absl import app

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.coding import bitstream


def _lines(data):
  """What a file says about itself, as text, and whether its checksum is right."""
  header, payload = bitstream.parse(data)
  pixels = header.height * header.width
  intact = header.checksum == header.expected_checksum
  state = "ok" if intact else f"wrong: should be {header.expected_checksum.hex()}"
  return [
    f"format version   {header.version}",
    f"model            {header.fingerprint.hex()}",
    f"size             {header.width}x{header.height}",
    *([] if header.quality is None else [f"quality          {header.quality:g}"]),
    f"bytes            {len(data)} ({header.size} header, {len(payload)} payload)",
    f"bits per pixel   {8 * len(data) / pixels:.4f}",
    f"checksum         {header.checksum.hex()} {state}",
  ], intact


def main(argv):
  """Prints each file; tells of each bad one in a line."""
  if len(argv) < 2:
    raise app.UsageError("give one or more compressed files")
  failed = False
  with startup.one_line_errors():
    for path in argv[1:]:
      try:
        lines, intact = _lines(pathlib.Path(path).read_bytes())
      except (OSError, bitstream.BitstreamError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) else error
        print(f"error: {path}: {reason}", file=sys.stderr)
        failed = True
        continue
      print(path, *[f"  {line}" for line in lines], sep="\n")
      failed |= not intact
  sys.exit(int(failed))


def run():
  """The console entry point."""
  app.run(main)


if __name__ == "__main__":
  run()
