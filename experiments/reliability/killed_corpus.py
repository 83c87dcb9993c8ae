"""Compresses a corpus with bad files with Beam, killed and restarted, and with the command line.

`python -m experiments.reliability.killed_corpus --images='photos/*.png'`
"""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from experiments import common
from experiments.reliability.small_photographs import make_photographs

_IMAGES = flags.DEFINE_string("images", "", "Photographs to cut; empty: the bundled ones.")
_MODEL = flags.DEFINE_string("model", "joint-mse", "A model directory or name.")
_FILES = flags.DEFINE_integer("files", 500, "Files in the corpus, bad ones too.", lower_bound=10)
_KILL_AFTER = flags.DEFINE_integer("kill_after", 150, "Results after which the run is killed.")
_WIDTH = flags.DEFINE_integer("width", 128, "Width of the photographs.")
_HEIGHT = flags.DEFINE_integer("height", 96, "Height of the photographs.")


def _make_bad(folder):
  """Spoils five files in different ways, and returns their names."""
  whole = (folder / "0000.png").read_bytes()
  bad = {
    "0001.png": b"",
    "0002.png": b"This is a text.\n",
    "0003.png": whole[: len(whole) // 2],
    "0004.png": whole[:-60] + bytes([whole[-60] ^ 4]) + whole[-59:],
    "0005.png": whole[:8],
  }
  for name, content in bad.items():
    (folder / name).write_bytes(content)
  return set(bad)


def _beam(source, output):
  command = [sys.executable, "-m", "bmshj_minnen.beam_compress", f"--model={_MODEL.value}"]
  command += [f"--input={source}", f"--output={output}"]
  return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _kill_midway(source, output):
  """Starts the pipeline, kills it with signal 9 after some results; returns their number."""
  process = _beam(source, output)
  while len(list(output.glob("*.tfci"))) < _KILL_AFTER.value:
    if process.poll() is not None:
      raise RuntimeError("the pipeline ended before it could be killed")
    time.sleep(0.002)
  os.killpg(process.pid, signal.SIGKILL)
  process.communicate()
  return len(list(output.glob("*.tfci")))


def _check(folder, bad):
  """Compares the results of both; raises an error where they differ."""
  by_beam = {p.name: p.read_bytes() for p in (folder / "beam").glob("*.tfci")}
  by_command = {p.name: p.read_bytes() for p in (folder / "command").glob("*.tfci")}
  assert by_beam == by_command, "files differ"
  manifest = common.read_csv(folder / "beam" / "manifest.csv")
  listed = {row["file"]: row["sha256"] for row in manifest}
  assert listed == {n: hashlib.sha256(b).hexdigest() for n, b in by_beam.items()}, "manifest"
  failures = common.read_csv(folder / "beam" / "failures.csv")
  assert {pathlib.Path(row["source"]).name for row in failures} == bad, "failures"
  return len(by_beam), failures


def main(argv):
  """Makes the corpus, compresses it both ways, and prints the comparison."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    source = folder / "in"
    make_photographs(source, _IMAGES.value, _FILES.value, _WIDTH.value, _HEIGHT.value)
    bad = _make_bad(source)
    done = _kill_midway(source, folder / "beam")
    print(f"killed with -9 after {done} of {_FILES.value} files", flush=True)
    print("started again:", _beam(source, folder / "beam").communicate()[0].strip(), flush=True)
    command = [sys.executable, "-m", "bmshj_minnen.compress", f"--model={_MODEL.value}"]
    # The runtime of Beam's workers: sums of another one round otherwise.
    command += ["--runtime=tensorflow", f"--output_dir={folder / 'command'}", str(source)]
    subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    equal, failures = _check(folder, bad)
    print(f"{equal} files equal those of `compress`, byte for byte; so does the manifest")
    for row in sorted(failures, key=lambda row: row["source"]):
      print(f"reported: {pathlib.Path(row['source']).name}: {row['reason']}")


if __name__ == "__main__":
  app.run(main)
