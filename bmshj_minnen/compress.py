"""Compresses a photograph: `python -m bmshj_minnen.compress --model=DIR in.png out.tfci`."""

import os

from absl import app, flags

from bmshj_minnen import binaries  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import images, model_directory, report

_MODEL = flags.DEFINE_string("model", None, "A model directory.", required=True)
_VERBOSE = flags.DEFINE_bool("verbose", False, "Print sizes, quality and where the time went.")


def main(argv):
  """Flags -> one library call."""
  if len(argv) != 3:
    raise app.UsageError("give two files: the photograph, and where the compressed file goes")
  _, source, target = argv
  with binaries.one_line_errors():
    image = images.read_image(source)
    codec = model_directory.load(_MODEL.value)
    seconds: dict[str, float] = {}
    data, latents = codec.compress_with_latents(image, seconds)
    images.write_atomically(target, data)
    if _VERBOSE.value:
      model = model_directory.load_model(_MODEL.value)
      x_hat = codec.decompress(data)
      for line in report.lines(image, x_hat, os.path.getsize(target), seconds):
        print(line)
      bits = report.estimated_bits(model, latents)
      print(f"estimated bits   {bits:.0f} ({bits / (image.shape[0] * image.shape[1]):.4f} bpp)")


def run():
  """The console entry point."""
  app.run(main)


if __name__ == "__main__":
  run()
