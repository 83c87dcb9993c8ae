"""Decodes many hostile files in one process and counts what becomes of them.

`python -m experiments.robustness.campaign --files=100000`; started again, it goes on where it was.
"""

import pathlib
import sys
import tempfile
from typing import Optional

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import tensorflow as tf

from experiments.robustness.hostile_run import Campaign, load_codecs

_FILES = flags.DEFINE_integer("files", 100_000, "Files in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Another seed makes other files.", lower_bound=0)
_FOLDER = flags.DEFINE_string(
  "folder",
  str(pathlib.Path(tempfile.gettempdir(), "bmshj_minnen_campaign")),
  "Keeps models, state and the files that failed.",
)
_CASE = flags.DEFINE_integer("case", None, "Decodes this case alone and prints what comes of it.")


def main(_) -> Optional[int]:
  """Runs the campaign, or one case of it."""
  tf.config.threading.set_intra_op_parallelism_threads(1)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  with startup.one_line_errors():
    folder = pathlib.Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(folder, _SEED.value, load_codecs(folder / "models"))
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
