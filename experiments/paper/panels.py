"""Pictures side by side at equal bytes, with their sizes, and a crop of each."""

import dataclasses

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import classical

__all__ = ["Panel", "compose", "panels"]

_GAP = 8
_CAPTION = 40


@dataclasses.dataclass(frozen=True)
class Panel:
  """A picture [H, W, 3] uint8 and the lines above it."""

  image: np.ndarray
  caption: str


def panels(x: np.ndarray, codec: classical.MeasuredCodec, against: list[str]) -> list[Panel]:
  """Panels of the original [H, W, 3] uint8, and of our and other codecs at equal bytes."""
  ours = codec.compress(x)
  result = [
    Panel(x, f"original\n{x.shape[1]}x{x.shape[0]}"),
    _panel("ours", x, ours, codec.decompress(ours)),
  ]
  for name in against:
    quality, file = classical.nearest_in_size(name, x, len(ours))
    x_hat = classical.make(name, quality).decompress(file)
    result.append(_panel(f"{name}, quality {quality}", x, file, x_hat))
  return result


def compose(row: list[Panel], crop: tuple[int, int, int, int]) -> np.ndarray:
  """Draws panels in a row, and their crops (top, left, height, width) below: [h, w, 3] uint8.

  Raises:
    ValueError: the crop is not within the picture.
  """
  top, left, height, width = crop
  rows, columns = row[0].image.shape[:2]
  if min(top, left, height - 1, width - 1) < 0 or top + height > rows or left + width > columns:
    raise ValueError(f"the crop {crop} is not within {rows} rows of {columns} pixels")
  scale = max(1, columns // width)
  canvas = PIL.Image.new(
    "RGB",
    (len(row) * (max(columns, scale * width) + _GAP), _CAPTION + rows + _GAP + scale * height),
    "white",
  )
  draw = PIL.ImageDraw.Draw(canvas)
  font = PIL.ImageFont.load_default(14)
  for i, panel in enumerate(row):
    x = i * (max(columns, scale * width) + _GAP)
    draw.multiline_text((x, 2), panel.caption, "black", font)
    canvas.paste(PIL.Image.fromarray(panel.image), (x, _CAPTION))
    box = (x + left, _CAPTION + top, x + left + width, _CAPTION + top + height)
    draw.rectangle(box, outline="yellow")
    part = panel.image[top : top + height, left : left + width]
    # Repeat whole pixels, so that nothing is smoothed.
    enlarged = part.repeat(scale, 0).repeat(scale, 1)
    canvas.paste(PIL.Image.fromarray(enlarged), (x, _CAPTION + rows + _GAP))
  return np.asarray(canvas)


def _panel(name, x, file, x_hat):
  figures = f"{metrics.psnr(x, x_hat):.2f} dB, MS-SSIM {float(metrics.ms_ssim(x, x_hat)):.4f}"
  bpp = 8 * len(file) / (x.shape[0] * x.shape[1])
  return Panel(x_hat, f"{name}: {len(file)} bytes, {bpp:.3f} bpp\n{figures}")
