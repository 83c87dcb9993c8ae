"""Decompresses: `python -m bmshj_minnen.decompress --model=DIR out.tfci back.png`."""

from absl import app, flags

from bmshj_minnen import binaries  # Before TensorFlow, which it silences.

# isort: split
from bmshj_minnen import images, model_directory, report

_MODEL = flags.DEFINE_string("model", None, "The model directory that compressed.", required=True)
_VERBOSE = flags.DEFINE_bool("verbose", False, "Print the size and where the time went.")
_ORIGINAL = flags.DEFINE_string("original", None, "With --verbose, a photograph to compare with.")


def main(argv):
  """Flags -> one library call."""
  if len(argv) != 3:
    raise app.UsageError("give two files: the compressed one, and where the photograph goes")
  _, source, target = argv
  with binaries.one_line_errors():
    with open(source, "rb") as file:
      data = file.read()
    codec = model_directory.load(_MODEL.value)
    seconds: dict[str, float] = {}
    image = codec.decompress(data, seconds)
    images.write_image(target, image)
    if _VERBOSE.value:
      original = images.read_image(_ORIGINAL.value) if _ORIGINAL.value else None
      for line in report.lines(original, image, len(data), seconds):
        print(line)


def run():
  """The console entry point."""
  app.run(main)


if __name__ == "__main__":
  run()
