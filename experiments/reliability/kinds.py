"""Compresses one file of each kind, good and bad, and prints the table of outcomes.

`python -m experiments.reliability.kinds --model=DIR`
"""

import pathlib
import re
import subprocess
import sys
import tempfile

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from bmshj_minnen.evaluation import markdown
from experiments.reliability.sample_files import BAD, GOOD, make_files

_MODEL = flags.DEFINE_string("model", "joint-mse", "A model directory or name.")


def _rows(source, target, stderr):
  """The cells of each row: the file, its special feature, its outcome, its message."""
  said = {}
  for line in stderr.splitlines():
    found = re.fullmatch(rf"(?:note|error): {re.escape(str(source))}/([^:]*): (.*)", line)
    if found:
      said[found[1]] = found[2]
    else:
      print(f"also on stderr: {line}")
  for path in sorted(source.iterdir()):
    result = target / path.with_suffix(".tfci").name
    outcome = f"{result.stat().st_size} bytes" if result.exists() else "refused"
    if path.name not in {**GOOD, **BAD}:
      outcome = "not taken"
    special = GOOD.get(path.name, "")
    yield [path.name, special, outcome, said.get(path.name, "")]


def main(argv):
  """Makes the files, compresses the folder, prints the table."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), tempfile.TemporaryDirectory() as temporary:
    source, target = pathlib.Path(temporary, "in"), pathlib.Path(temporary, "out")
    source.mkdir()
    make_files(source)
    command = [sys.executable, "-m", "bmshj_minnen.compress", f"--model={_MODEL.value}"]
    command += [f"--output_dir={target}", str(source)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    head, rows = ["file", "", "outcome", "what is said"], _rows(source, target, result.stderr)
    print(markdown.table(head, rows, "llll"))
    print(f"\n{result.stdout.strip()}; exit status {result.returncode}")


if __name__ == "__main__":
  app.run(main)
