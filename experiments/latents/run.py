"""The paper's figure of latents, and its claims as numbers.

`python -m experiments.latents.run --models=joint-mse --images='kodak/*.png'` takes any number of
models, for example the models of `experiments.priors`: `--models='models/priors/seed0/*'`.
"""

import glob
import pathlib

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import bmshj_minnen
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from experiments import common
from experiments.latents import anatomy, figure, statistics

_HERE = pathlib.Path(__file__).parent

_MODELS = flags.DEFINE_list(
  "models", ["joint-mse"], "Model directories, patterns of them, or names of models that ship."
)
_QUALITY = flags.DEFINE_integer(
  "quality", None, "Quality of models for many rates, 1 to 100.", 1, 100
)
_IMAGES = flags.DEFINE_string("images", "", "Photographs for the numbers; empty: bundled ones.")
_IMAGE = flags.DEFINE_string("image", "", "The photograph of the figure; empty: a bundled one.")
_OUTPUT = flags.DEFINE_string("output", str(_HERE / "results"), "Folder for figure and table.")


def _models():
  """The models that the flag names, patterns expanded."""
  found = []
  for name in _MODELS.value:
    found += sorted(glob.glob(name)) if glob.has_magic(name) else [name]
  if not found:
    raise ValueError(f"no model directory matches {', '.join(_MODELS.value)}")
  return list(dict.fromkeys(found))


def main(argv):
  """Flags -> figure and table."""
  usage.refuse_arguments(argv, has_patterns=True)
  with startup.one_line_errors():
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    photograph = bmshj_minnen.read_image(_IMAGE.value or finding.held_out_photographs()[0])
    paths = common.find_images(_IMAGES.value)
    rows, numbers = {}, {}
    models = _models()
    labels = [pathlib.Path(name).name for name in models]
    if len(set(labels)) < len(labels):
      labels = models
    for label, name in zip(labels, models):
      subject = anatomy.Subject(name, _QUALITY.value)
      rows[label] = anatomy.dissect(subject, photograph)
      numbers[label] = statistics.statistics(
        anatomy.dissect(subject, bmshj_minnen.read_image(path)) for path in paths
      )
    figure.plot(rows).savefig(output / "latents.png", bbox_inches="tight")
    text = statistics.table(numbers)
    common.write_text(output / "table.md", text)
    print(text, end="")
    print(f"Wrote {output / 'latents.png'} and {output / 'table.md'}")


if __name__ == "__main__":
  app.run(main)
