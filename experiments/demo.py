"""Trains a small model for some minutes and compresses a photograph that it has not seen.

`python -m experiments.demo`, or `make demo`: needs no network, no data and no other flag.
"""

import io
import pathlib

from absl import app, flags, logging

from bmshj_minnen import binaries  # Before TensorFlow, which it silences.

# isort: split
import numpy as np
import PIL.Image

import bmshj_minnen
from bmshj_minnen import data, metrics, training

_STEPS = flags.DEFINE_integer("steps", 2000, "Training steps; the default takes about 3 minutes.")
_LAMBDA = flags.DEFINE_float("lambda", 0.01, "λ of R + λD.")
_OUTPUT = flags.DEFINE_string("output", "demo_output", "Where the model and the pictures go.")


def main(argv):
  """Trains, compresses, decompresses, compares."""
  del argv
  logging.set_verbosity(logging.INFO)
  with binaries.one_line_errors():
    output = pathlib.Path(_OUTPUT.value)
    training.train(
      bmshj_minnen.ModelConfig(num_filters=48, latent_channels=48),
      bmshj_minnen.TrainConfig(
        model_dir=str(output / "model"),
        lmbda=_LAMBDA.value,
        crop=128,
        batch=8,
        steps=_STEPS.value,
        learning_rate=1e-3,
        schedule="cosine",
        save_every=500,
      ),
    )
    x = bmshj_minnen.read_image(data.held_out_photographs()[0])
    codec = bmshj_minnen.load(output / "model")
    compressed = codec.compress(x)
    (output / "photograph.tfci").write_bytes(compressed)
    x_hat = codec.decompress((output / "photograph.tfci").read_bytes())
    jpeg, x_jpeg = _nearest_jpeg(x, len(compressed))

    height, width = x.shape[:2]
    print(f"\nA {width}x{height} photograph that the model has not seen:")
    print(f"{'':12}{'bytes':>8}{'bpp':>8}{'PSNR':>10}{'MS-SSIM':>10}")
    for name, size, image in (("this model", len(compressed), x_hat), ("JPEG", len(jpeg), x_jpeg)):
      print(
        f"{name:12}{size:8}{8 * size / (height * width):8.3f}"
        f"{metrics.psnr(x, image):7.2f} dB{float(metrics.ms_ssim(x, image)):10.4f}"
      )
    picture = output / "side_by_side.png"
    _write_side_by_side(picture, [x, x_hat, x_jpeg])
    print(f"Original, this model and JPEG, from left to right: {picture}")
    print("Minutes on six photographs show that all parts work; README.md tells of real models.")


def _nearest_jpeg(x, size):
  """The JPEG of `x` whose size is nearest: its bytes, and its pixels."""
  files = []
  for quality in range(1, 96):
    buffer = io.BytesIO()
    PIL.Image.fromarray(x).save(buffer, "JPEG", quality=quality, optimize=True)
    files.append(buffer.getvalue())
  nearest = min(files, key=lambda file: abs(len(file) - size))
  return nearest, np.asarray(PIL.Image.open(io.BytesIO(nearest)))


def _write_side_by_side(path, pictures):
  gap = np.full((pictures[0].shape[0], 8, 3), 255, np.uint8)
  row = [part for picture in pictures for part in (picture, gap)][:-1]
  bmshj_minnen.write_image(str(path), np.concatenate(row, 1))


if __name__ == "__main__":
  app.run(main)
