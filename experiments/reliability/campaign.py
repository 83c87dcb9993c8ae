"""Decodes many hostile files in one process and counts the outcomes.

`python -m experiments.reliability.campaign --files=100000`; started again, it continues.
With `--runtime=onnx`, TensorFlow makes the models, but decodes nothing.
"""

import os
import pathlib
import sys
import tempfile
from typing import Optional

from absl import app, flags

# One thread: several would wait for each other, and waiting counts as processor time.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import usage
from experiments.exactness import runtimes
from experiments.reliability import small_models
from experiments.reliability.hostile_run import Campaign

_RUNTIME = flags.DEFINE_enum(
  "runtime", runtimes.TENSORFLOW, runtimes.RUNTIMES, "Runtime of the codecs."
)
# In Python an escape takes three steps of the range coder, another value takes one.
_LIMITS = {runtimes.TENSORFLOW: 2.0, runtimes.ONNX: 3.0}
_FILES = flags.DEFINE_integer("files", 100_000, "Files in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed makes other files.", lower_bound=0)
_FOLDER = flags.DEFINE_string(
  "folder",
  str(pathlib.Path(tempfile.gettempdir(), "bmshj_minnen_campaign")),
  "Folder for models, state and failed files.",
)
_CASE = flags.DEFINE_integer("case", None, "Decode this case alone and print its outcome.")


def main(argv) -> Optional[int]:
  """Runs the campaign, or one case of it."""
  usage.refuse_arguments(argv)
  runtimes.limit_threads(_RUNTIME.value, 1)
  with startup.one_line_errors():
    models, folder = (pathlib.Path(_FOLDER.value, name) for name in ("models", _RUNTIME.value))
    for directory in (models, folder):
      directory.mkdir(parents=True, exist_ok=True)
    codecs = small_models.load(models, _RUNTIME.value)
    photograph, limit = small_models.photograph(models), _LIMITS[_RUNTIME.value]
    campaign = Campaign(folder, _SEED.value, codecs, photograph, limit)
    if _CASE.value is not None:
      case, outcome, ratio = campaign.judge(_CASE.value)
      print(f"{case.kind}, {len(case.data)} bytes: {outcome.name}, {outcome.detail}")
      print(f"{ratio:.2f} times as long as a good file")
      return int(outcome.name == "other")
    whole = campaign.run(_FILES.value)
    print("\n".join([campaign.table(), *campaign.failures]))
    if not whole:
      print("interrupted; the same command goes on", file=sys.stderr)
    return int(bool(campaign.failures) or not whole)


if __name__ == "__main__":
  app.run(main)
