"""Files of TensorFlow and of ONNX Runtime, each decoded by the other.

python -m experiments.exactness.exchange --images='kodak/*.png'

Each runtime, Python and number of threads is a process: first all write their files, then all read
the files of all. `written.csv` has a row for each writer and quality, `read.csv` a row for each
writer, reader and quality. Pixels are compared with TensorFlow's on the first number of threads.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from typing import Any

from absl import app, flags

from bmshj_minnen.command_line import usage
from bmshj_minnen.command_line.startup import one_line_errors
from bmshj_minnen.model_files import catalogue
from experiments import common
from experiments.exactness import exchanged, runtimes

_ROOT = pathlib.Path(__file__).parents[2]
_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model that ships.")
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_QUALITIES = flags.DEFINE_list("qualities", ["10", "50", "90"], "Qualities of the files.")
_THREADS = flags.DEFINE_list("threads", ["1", "2"], "Numbers of threads of both runtimes.")
_PYTHON = flags.DEFINE_list(
  "python", [".venv-portable/bin/python"], "Python interpreters with ONNX Runtime."
)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for written.csv and read.csv.")


def _processes() -> dict[str, list[str]]:
  """Name -> the beginning of a command, for each runtime, Python and number of threads."""
  found = [(runtimes.TENSORFLOW, sys.executable)]
  found += [(runtimes.ONNX, python) for python in _PYTHON.value]
  processes = {}
  for threads, (runtime, python) in itertools.product(_THREADS.value, found):
    name = f"{runtime} {runtimes.version(python)} {threads}"
    command = [os.path.abspath(python), "-m", "experiments.exactness.exchange_worker"]
    command += [f"--name={name}", f"--runtime={runtime}", f"--threads={threads}"]
    processes[name] = command
  return processes


def _run(processes, folder, arguments):
  for name, command in processes.items():
    environment = runtimes.environment(int(name.split()[-1]))
    command = [*command, f"--folder={folder}", *arguments]
    subprocess.run(command, cwd=_ROOT, env=environment, check=True)


def _results(folder: pathlib.Path, names: Iterable[str], kind: str) -> dict[str, Any]:
  return {name: json.loads((folder / f"{name}.{kind}.json").read_text()) for name in names}


def main(argv) -> int:
  """Runs all processes and prints both tables; 1 if any latents differ."""
  usage.refuse_arguments(argv, has_patterns=True)
  with one_line_errors(), tempfile.TemporaryDirectory() as name:
    common.find_images(_IMAGES.value)  # Refuses a wrong pattern before the processes start.
    folder, processes = pathlib.Path(name), _processes()
    images = os.path.abspath(os.path.expanduser(_IMAGES.value))
    arguments = [f"--model={_MODEL.value}", f"--images={images}"]
    arguments += [f"--qualities={','.join(_QUALITIES.value)}"]
    _run(processes, folder, arguments)
    _run(processes, folder, [*arguments, "--read"])
    both = _results(folder, processes, "written"), _results(folder, processes, "read")
    tables = {"written": exchanged.written_rows(*both), "read": exchanged.read_rows(*both)}
  for name, rows in tables.items():
    print(f"\n{exchanged.table(rows)}")
    if _OUTPUT.value:
      os.makedirs(_OUTPUT.value, exist_ok=True)
      common.write_csv(pathlib.Path(_OUTPUT.value, f"{name}.csv"), rows)
  return int(any(row["latents equal"] != row["files"] for row in tables["read"]))


if __name__ == "__main__":
  app.run(main)
