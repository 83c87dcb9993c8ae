"""Resident memory over photographs whose sizes never repeat.

`python -m experiments.reliability.memory --seconds=85`
"""

import pathlib
import time

import numpy as np
from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import bmshj_minnen
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding

_MODEL = flags.DEFINE_string("model", "default", "A model directory or name.")
_SECONDS = flags.DEFINE_float("seconds", 85.0, "Time after which no photograph is started.")
_LARGEST = flags.DEFINE_integer("largest", 224, "Upper limit of the sides, pixels.", lower_bound=32)
_EVERY = flags.DEFINE_integer("every", 100, "Photographs between two lines.", lower_bound=1)


def _resident():
  """Resident memory in MiB."""
  status = pathlib.Path("/proc/self/status").read_text()
  return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main(argv):
  """Prints photographs done, compressed and decompressed, and MiB."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors():
    codec = bmshj_minnen.load(_MODEL.value)
    photograph = bmshj_minnen.read_image(finding.bundled_photographs()[0])
    sizes = [(h, w) for h in range(16, _LARGEST.value) for w in range(16, _LARGEST.value)]
    np.random.default_rng(0).shuffle(sizes)
    end = time.monotonic() + _SECONDS.value
    for done, (height, width) in enumerate(sizes, 1):
      codec.decompress(codec.compress(photograph[:height, :width]))
      is_last = time.monotonic() > end
      if done == 1 or done % _EVERY.value == 0 or is_last:
        print(f"{done:5} photographs  {_resident():5.0f} MiB", flush=True)
      if is_last:
        return


if __name__ == "__main__":
  app.run(main)
