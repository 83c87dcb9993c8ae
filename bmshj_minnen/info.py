"""Prints facts about compressed files: `python -m bmshj_minnen.info FILE...`."""

import json
import os
import sys

from absl import app, flags

from bmshj_minnen.command_line import facts as file_facts
from bmshj_minnen.command_line import files, startup
from bmshj_minnen.format.errors import BitstreamError

_JSON = flags.DEFINE_bool("json", False, "Print a line with a JSON object per file.")

_METADATA = ("exif", "xmp")


def _facts(path, data):
  """The facts about a file, by name, and its checksum as text."""
  facts = {"file": path, **file_facts.facts_of(data)}
  expected = facts.pop("expected_checksum")
  state = "ok" if facts["intact"] else f"wrong: should be {expected}"
  return facts, f"{facts['checksum']} {state}"


def _lines(facts, checksum):
  """The facts as lines of text."""
  name = f" {facts['model']}" if facts["model"] else ""
  kinds = ", ".join(f"{facts[f'{k}_bytes']} {k.upper()}" for k in _METADATA if facts[f"{k}_bytes"])
  metadata = f", {facts['metadata_bytes']} metadata: {kinds}" if kinds else ""
  return [
    facts["file"],
    f"  format version   {facts['format_version']}",
    f"  model            {facts['fingerprint']}{name}",
    f"  size             {facts['width']}x{facts['height']}",
    *([] if facts["quality"] is None else [f"  quality          {facts['quality']:g}"]),
    f"  bytes            {facts['bytes']} ({facts['header_bytes']} header, "
    f"{facts['payload_bytes']} payload{metadata})",
    f"  bits per pixel   {facts['bits_per_pixel']:.4f}",
    f"  checksum         {checksum}",
  ]


def main(argv):
  """Prints the facts of each file, or an error in one line."""
  if len(argv) < 2:
    raise app.UsageError("give one or more compressed files; - is standard input")
  failed = False
  with startup.one_line_errors():
    for path in map(os.path.expanduser, argv[1:]):
      try:
        facts, checksum = _facts(path, files.read(path))
      except (OSError, BitstreamError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) else error
        print(f"error: {path}: {reason}", file=sys.stderr)
        failed = True
        continue
      print(*([json.dumps(facts)] if _JSON.value else _lines(facts, checksum)), sep="\n")
      failed |= not facts["intact"]
  sys.exit(int(failed))


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
