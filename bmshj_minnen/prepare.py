"""Makes a dataset of your photographs, once, for `train --dataset=NAME --data_dir=DIR`.

python -m bmshj_minnen.prepare --photographs='photos/**/*.*' --name=my_photos --data_dir=datasets
"""

import sys

from absl import flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import shared_flags, usage
from bmshj_minnen.data import datasets
from bmshj_minnen.training.train_config import TrainConfig

_PHOTOGRAPHS = shared_flags.define_paths(
  "photographs", None, "A glob; ** stands for folders; may be repeated.", required=True
)
_NAME = flags.DEFINE_string("name", None, "Name of the dataset, such as my_photos.", required=True)
_DATA_DIR = shared_flags.define_path("data_dir", "", "The folder of tensorflow-datasets.")
_MIN_SIZE = flags.DEFINE_integer(
  "min_size",
  TrainConfig(model_dir="").crop,
  "Pixels; photographs with a shorter side are left out; the largest --crop for training.",
  lower_bound=1,
)
_ALPHA = shared_flags.define_alpha()


def main(argv):
  """Flags -> one library call."""
  usage.refuse_arguments(argv, has_patterns=True)
  skipped = []

  def skip(path, reason):
    skipped.append(path)
    print(f"skipped: {path}: {reason}", file=sys.stderr)

  with startup.one_line_errors(), startup.sigterm_interrupts():
    count = datasets.prepare(
      _PHOTOGRAPHS.value, _NAME.value, _DATA_DIR.value, _MIN_SIZE.value, _ALPHA.value, skip
    )
    print(f"prepared {count} photographs, {len(skipped)} skipped")


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
