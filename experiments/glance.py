"""The picture at the top of the README: `python -m experiments.glance`.

Above, a part of a photograph, this model's reconstruction, and JPEG at equal bytes; below, the
whole photograph and the bits per position.
"""

from absl import app, flags

from bmshj_minnen.command_line import startup  # Before TensorFlow, which it silences.

# isort: split
import io

import numpy as np
import PIL.Image
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line import usage
from bmshj_minnen.data import finding
from bmshj_minnen.evaluation import classical
from bmshj_minnen.file_tools import outputs
from experiments.latents import anatomy

_MODEL = flags.DEFINE_string("model", "joint-mse", "A model directory or name.")
_QUALITY = flags.DEFINE_integer(
  "quality", 8, "Quality of a model for many rates, 1 to 100.", 1, 100
)
_IMAGE = flags.DEFINE_string("image", "", "A photograph; empty: a bundled one.")
_CROP = flags.DEFINE_list("crop", ["92", "164", "168", "168"], "Top, left, height, width.")
_OUTPUT = flags.DEFINE_string("output", "experiments/glance.jpg", "File for the picture.")

_WIDTH, _GAP = 1560, 24  # Pixels; nearly twice the width of a page.
_DPI = 160
_FLOWER = -1  # Index in the bundled photographs.


def main(argv):
  """Flags -> picture."""
  usage.refuse_arguments(argv)
  with startup.one_line_errors():
    x = bmshj_minnen.read_image(_IMAGE.value or finding.bundled_photographs()[_FLOWER])
    crop = tuple(map(int, _CROP.value))
    if len(crop) != 4 or not _is_within(crop, x):
      raise ValueError("--crop needs top, left, height and width of a part of the photograph")
    subject = anatomy.Subject(_MODEL.value, _QUALITY.value)
    file, latents = subject.codec.compress_with_latents(x, quality=subject.quality)
    jpeg_quality, jpeg = classical.nearest_in_size("jpeg420", x, len(file))
    pictures = [
      ("original", x, None),
      ("this model", subject.codec.decompress(file), file),
      ("JPEG", classical.make("jpeg420", jpeg_quality).decompress(jpeg), jpeg),
    ]
    bits = anatomy.anatomy(subject.model, latents.y_hat, latents.z_hat).bits.sum(-1)
    data = _encoded(_draw(pictures, bits, crop))
    outputs.write_atomically(_OUTPUT.value, data)
    for name, picture, own in pictures[1:]:
      print(f"{name}: {len(own)} bytes, {metrics.psnr(x, picture):.2f} dB")
    print(f"Wrote {_OUTPUT.value}, {len(data)} bytes")


def _is_within(crop, x):
  top, left, height, width = crop
  fits = top + height <= x.shape[0] and left + width <= x.shape[1]
  return fits and min(top, left, height - 1, width - 1) >= 0


def _draw(pictures, bits, crop):
  """Draws three parts above, the whole and its bits below."""
  x = pictures[0][1]
  top, left, height, width = crop
  # A row of three and a row of two, both as wide as the page.
  inches, gap, line = _WIDTH / _DPI, _GAP / _DPI, 0.3
  part = (inches - 2 * gap) / 3
  whole = (inches - gap) / 2
  heights = [part * height / width, whole * x.shape[0] / x.shape[1]]
  figure = Figure(figsize=(inches, sum(heights) + 2 * line), dpi=_DPI, facecolor="white")
  total = figure.get_figheight()

  def place(bottom, column, size, title):
    box = (column * (size[0] + gap) / inches, bottom / total, size[0] / inches, size[1] / total)
    axes = figure.add_axes(box)
    axes.axis("off")
    axes.set_title(title, fontsize=10, pad=4)
    return axes

  for column, (name, picture, file) in enumerate(pictures):
    axes = place(heights[1] + line, column, (part, heights[0]), _caption(name, x, picture, file))
    axes.imshow(picture[top : top + height, left : left + width], interpolation="nearest")
  size = (whole, heights[1])
  axes = place(0, 0, size, "the photograph")
  axes.imshow(x)
  frame = Rectangle((left, top), width, height, fill=False, color="white", linewidth=1.2)
  frame.set_path_effects([patheffects.withStroke(linewidth=2.6, foreground="black")])
  axes.add_patch(frame)
  axes = place(
    0, 1, size, f"where this model spent its bits (yellow: {bits.max():.0f} for 16x16 pixels)"
  )
  grey = np.repeat(x.mean(-1, keepdims=True), 3, -1) / 255
  axes.imshow(0.75 * grey + 0.25)
  # The size of the covered area: the last row and column may reach beyond the photograph.
  extent = (-0.5, 16 * bits.shape[1] - 0.5, 16 * bits.shape[0] - 0.5, -0.5)
  axes.imshow(bits, cmap="inferno", vmin=0, alpha=0.72, extent=extent, interpolation="nearest")
  axes.set(xlim=(-0.5, x.shape[1] - 0.5), ylim=(x.shape[0] - 0.5, -0.5))
  return figure


def _caption(name, x, picture, file):
  if file is None:
    return name
  return f"{name}: {len(file)} bytes, {metrics.psnr(x, picture):.1f} dB"


def _encoded(figure):
  """Encodes the figure as a JPEG of high quality, so that the faults shown stay visible."""
  buffer, result = io.BytesIO(), io.BytesIO()
  figure.savefig(buffer, format="png")
  picture = PIL.Image.open(buffer).convert("RGB")
  picture.save(result, "JPEG", quality=88, subsampling="4:4:4", optimize=True, progressive=True)
  return result.getvalue()


if __name__ == "__main__":
  app.run(main)
