"""Pictures side by side at equal bytes: `python -m experiments.paper.side_by_side --model=DIR`.

The picture shows the original, our reconstruction and, for each codec of `--against`, the
reconstruction whose file is nearest in size to ours; below each an enlarged crop.
"""

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import bmshj_minnen
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from experiments.paper.panels import compose, panels

_MODEL = flags.DEFINE_string("model", None, "A model directory.", required=True)
_IMAGE = flags.DEFINE_string("image", "", "A photograph; empty: a bundled one, not trained on.")
_AGAINST = flags.DEFINE_list("against", ["jpeg420"], "Classical codecs to compare with.")
_CROP = flags.DEFINE_list("crop", [], "Top, left, height, width; empty: a quarter of each side.")
_OUTPUT = flags.DEFINE_string("output", "side_by_side.png", "File for the picture.")


def main(argv):
  """Flags -> picture."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors():
    x = bmshj_minnen.read_image(_IMAGE.value or finding.held_out_photographs()[0])
    height, width = x.shape[:2]
    crop = tuple(map(int, _CROP.value)) or (
      3 * height // 8,
      3 * width // 8,
      height // 4,
      width // 4,
    )
    if len(crop) != 4:
      raise ValueError("--crop needs four numbers: top, left, height, width")
    row = panels(x, bmshj_minnen.load(_MODEL.value), _AGAINST.value)
    bmshj_minnen.write_image(_OUTPUT.value, compose(row, crop))
    print("\n".join(panel.caption.replace("\n", ", ") for panel in row))
    print(f"Wrote {_OUTPUT.value}")


if __name__ == "__main__":
  app.run(main)
