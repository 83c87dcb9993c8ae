"""Compresses a photograph with a model that ships, and compares it with JPEG at equal bytes.

`python -m experiments.demo`, or `make demo`, works without network, data and flags.
"""

import pathlib

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import numpy as np

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from bmshj_minnen.evaluation import classical
from bmshj_minnen.model_files import catalogue

_MODEL = flags.DEFINE_string("model", catalogue.DEFAULT, "A model directory or name.")
_IMAGE = flags.DEFINE_string("image", "", "A photograph; empty: one that no model was trained on.")
_OUTPUT = flags.DEFINE_string("output", "demo_output", "Folder for the files.")


def main(argv):
  """Compresses, decompresses, compares."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors():
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    x = bmshj_minnen.read_image(_IMAGE.value or finding.held_out_photographs()[0])
    codec = bmshj_minnen.load(_MODEL.value)
    (output / "photograph.tfci").write_bytes(codec.compress(x))
    compressed = (output / "photograph.tfci").read_bytes()
    x_hat = codec.decompress(compressed)
    quality, jpeg = classical.nearest_in_size("jpeg420", x, len(compressed))
    (output / "photograph.jpg").write_bytes(jpeg)
    x_jpeg = classical.make("jpeg420", quality).decompress(jpeg)

    height, width = x.shape[:2]
    print(f"A {width}x{height} photograph, compressed with {catalogue.find(_MODEL.value).name}:")
    print(f"{'':12}{'bytes':>8}{'bpp':>8}{'PSNR':>10}{'MS-SSIM':>10}")
    for name, file, image in (("this model", compressed, x_hat), ("JPEG", jpeg, x_jpeg)):
      print(
        f"{name:12}{len(file):8}{8 * len(file) / (height * width):8.3f}"
        f"{metrics.psnr(x, image):7.2f} dB{float(metrics.ms_ssim(x, image)):10.4f}"
      )
    gap = np.full((height, 8, 3), 255, np.uint8)
    picture = output / "side_by_side.png"
    bmshj_minnen.write_image(str(picture), np.concatenate([x, gap, x_hat, gap, x_jpeg], 1))
    print(f"Original, this model and JPEG, from left to right: {picture}")


if __name__ == "__main__":
  app.run(main)
