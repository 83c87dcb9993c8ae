"""Measures how closely targets are met, and the cost of the search.

`python -m experiments.paper.targets_reached --images='kodak/*.png'`
"""

import time

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import numpy as np

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line import usage
from bmshj_minnen.format import reading
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.quality import QUALITIES
from bmshj_minnen.targets import TargetError
from experiments import common

_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model for many rates.")
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_BYTES = flags.DEFINE_list("bytes", ["20000", "40000", "60000"], "Targets.")
_PSNR = flags.DEFINE_list("psnr", ["30", "33", "36"], "Targets, dB.")


def _measure(codec, paths, kind, target):
  """Seconds of the searches, distances of results within reach, and the unreachable targets."""
  seconds, distances, unreachable = [], [], 0
  for path in paths:
    image = bmshj_minnen.read_image(path)
    start = time.perf_counter()
    try:
      data = codec.compress(image, **{kind: target})
    except TargetError:
      unreachable += 1
      continue
    seconds.append(time.perf_counter() - start)
    if kind == "bytes":
      distances.append(len(data) / target - 1)
    else:
      distances.append(metrics.psnr(image, codec.decompress(data)) - target)
    if reading.parse(data)[0].quality in (QUALITIES[0], QUALITIES[-1]):  # Out of reach.
      distances.pop()
  return seconds, distances, unreachable


def main(argv):
  """Prints a line per target."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors():
    paths = common.find_images(_IMAGES.value)
    codec = bmshj_minnen.load(_MODEL.value)
    images = [bmshj_minnen.read_image(path) for path in paths]
    codec.decompress(codec.compress(images[0]))  # Traces the graphs.
    plain = []
    for image in images:
      start = time.perf_counter()
      codec.compress(image)
      plain.append(time.perf_counter() - start)
    plain = np.median(plain)
    print(f"plain: {plain:.3f} s")
    targets = [("bytes", int(t)) for t in _BYTES.value] + [("psnr", float(t)) for t in _PSNR.value]
    for kind, target in targets:
      seconds, distances, unreachable = _measure(codec, paths, kind, target)
      form = "+.2%" if kind == "bytes" else "+.3f"
      ends = f"{min(distances):{form}} to {max(distances):{form}}" if distances else "none"
      ratio = np.median(seconds) / plain if seconds else np.nan
      print(
        f"{kind} {target:g}: {len(distances)} reached, {unreachable} out of reach, "
        f"off by {ends}; {ratio:.2f} times a plain compress"
      )


if __name__ == "__main__":
  app.run(main)
