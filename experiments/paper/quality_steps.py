"""Checks that bytes and PSNR rise with every step of quality, for every photograph.

`python -m experiments.paper.quality_steps --images='kodak/*.png' --output=monotony.csv`
"""

import pathlib

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import numpy as np

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line import usage
from bmshj_minnen.model_files import catalogue
from experiments import common

_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model for many rates.")
_IMAGES = flags.DEFINE_string("images", None, "A pattern of photographs.", required=True)
_STEP = flags.DEFINE_float("step", 1.0, "Difference between qualities; at least 0.5.")
_OUTPUT = flags.DEFINE_string("output", "monotony.csv", "File for the table: one row per file.")


def curve(codec: bmshj_minnen.Codec, image: np.ndarray, qualities: list[float]):
  """Yields (quality, bytes, PSNR in dB) of an image [H, W, 3] uint8 at each quality."""
  files = codec.at_qualities(image, qualities)
  for quality, (data, latents) in zip(qualities, files):
    pixels = codec.graphs.synthesize(latents.y_hat, *image.shape[:2], quality).numpy()
    yield quality, len(data), metrics.psnr(image, pixels)


def main(argv):
  """Writes the table, and prints a line for each step that goes down."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors():
    paths = common.find_images(_IMAGES.value)
    codec = bmshj_minnen.load(_MODEL.value)
    qualities = list(np.arange(1, 100 + _STEP.value / 2, _STEP.value))
    steps, fallen = 0, {"bytes": 0, "PSNR": 0}
    growth, table = [], []
    for path in paths:
      name = pathlib.Path(path).name
      rows = list(curve(codec, bmshj_minnen.read_image(path), qualities))
      table += [
        {"image": name, "quality": f"{quality:g}", "bytes": size, "psnr_db": f"{psnr:.4f}"}
        for quality, size, psnr in rows
      ]
      common.write_csv(_OUTPUT.value, table)
      for (_, *before), (quality, *after) in zip(rows, rows[1:]):
        steps += 1
        growth.append((after[0] / before[0] - 1, after[1] - before[1]))
        for kind, old, new in zip(fallen, before, after):
          if new <= old:
            fallen[kind] += 1
            print(f"{name}: {kind} {old:.6g} -> {new:.6g} at quality {quality:g}")
    low, middle, high = (function(growth, 0) for function in (np.min, np.median, np.max))
    print(f"{len(paths)} photographs, {steps} steps; not risen: {fallen}")
    print(f"bytes a step: {low[0]:+.2%} to {high[0]:+.2%}, median {middle[0]:+.2%}")
    print(f"PSNR a step: {low[1]:+.3f} to {high[1]:+.3f} dB, median {middle[1]:+.3f}")


if __name__ == "__main__":
  app.run(main)
