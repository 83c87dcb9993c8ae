"""Makes a model directory from weights that CompressAI trained.

python -m bmshj_minnen.convert --from_compressai=mbt2018-4-456e2af9.pth.tar --output=mbt2018-4
"""

import pathlib

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen.command_line import shared_flags, usage
from bmshj_minnen.compressai import checkpoint, conversion
from bmshj_minnen.data import crops, finding
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import model_directory, weights

_SOURCE = shared_flags.define_path(
  "from_compressai", None, "A checkpoint, or an .npz file of its arrays, which needs no PyTorch."
)
_OUTPUT = shared_flags.define_path("output", None, "The new model directory.")

_CROP = 256  # Pixels; side of the images whose activations set the ranges of integer networks.


def _convert(source, output):
  if output.exists():
    raise ValueError(f"{output} exists; give another --output")
  state = checkpoint.read(source)
  photographs = (*finding.bundled_photographs(), *finding.held_out_photographs())
  (typical,) = crops.validation_crops(photographs, _CROP, len(photographs))
  try:
    config, arrays = conversion.convert(state)
    model = Model(config)
    weights.assign(model, arrays)
    model_directory.save(model, output, typical)
  except ValueError as error:
    raise ValueError(f"{source}: {error}") from error
  name = conversion.name_of(config.prior)
  print(f"{name}, N = {config.num_filters}, M = {config.latent_channels}: {output}")


def main(argv):
  """Flags -> one library call."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors(), startup.sigterm_interrupts():
    if not _SOURCE.value or not _OUTPUT.value:
      raise ValueError("give --from_compressai=CHECKPOINT and --output=DIR")
    _convert(pathlib.Path(_SOURCE.value), pathlib.Path(_OUTPUT.value))


def run():
  """The console entry point."""
  startup.run(main)


if __name__ == "__main__":
  run()
