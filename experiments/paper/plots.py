"""The plots of the study."""

import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bmshj_minnen.evaluation import measurements
from experiments.paper import curves, tables

__all__ = ["plot_all"]

_MAX_BPP = 2.0
_IMAGES_A_PAGE = 24
_PUBLISHED = {
  "minnen-2018-neurips-opt-mse": ("joint, published", "black"),
  "minnen-2018-neurips-opt-msssim": ("joint for MS-SSIM, published", "tab:pink"),
  "balle-2018-iclr-opt-mse": ("scale hyperprior, published", "dimgray"),
  "bpg444": ("BPG 4:4:4, published", "tab:olive"),
  "jpeg420": ("JPEG 4:2:0, published", "tab:cyan"),
}
_MEASURED = {
  "jpeg420": ("JPEG 4:2:0", "tab:blue"),
  "jpeg444": ("JPEG 4:4:4", "lightsteelblue"),
  "jpeg2000": ("JPEG 2000, equal rates", "tab:orange"),
  "jpeg2000_psnr": ("JPEG 2000, equal PSNR", "sandybrown"),
  "webp": ("WebP", "tab:green"),
  "avif": ("AVIF 4:4:4", "tab:purple"),
  "hevc444": ("HEVC 4:4:4", "tab:brown"),
}
_OURS = ["red", "magenta", "orangered", "firebrick", "salmon"]


def plot_all(rows: Sequence[measurements.Row], anchor: str, folder: pathlib.Path) -> None:
  """Writes PNG files.

  `METRIC.png` has the curves of averages, `METRIC_savings.png` what they save against the measured
  codec `anchor`, and `METRIC_images_1.png`, ... the curves of single images.

  Args:
    rows: what `evaluate` measured on the Kodak images.
    anchor: a codec of the rows.
    folder: where the files go.
  """
  styles = _styles(rows)
  for metric in curves.METRICS:
    published = curves.published(metric)
    measured = curves.measured(rows, metric)
    named = {
      f"published {codec}": published[codec]
      for codec in _PUBLISHED
      if metric == "ms_ssim" or not codec.endswith("msssim")
    }
    named.update(measured)
    _plot_averages(named, styles, metric).savefig(folder / f"{metric}.png")
    figure = _plot_savings(named, styles, metric, anchor)
    figure.savefig(folder / f"{metric}_savings.png")
    images = curves.measured_by_image(rows, metric)
    for page, start in enumerate(range(0, len(images), _IMAGES_A_PAGE), 1):
      names = list(images)[start : start + _IMAGES_A_PAGE]
      figure = _plot_images({name: images[name] for name in names}, styles, metric)
      figure.savefig(folder / f"{metric}_images_{page}.png")


def _styles(rows):
  """Name -> arguments of `plot`."""
  styles = {
    f"published {codec}": {"label": label, "color": color, "linestyle": "--", "linewidth": 1.2}
    for codec, (label, color) in _PUBLISHED.items()
  }
  for codec, (label, color) in _MEASURED.items():
    styles[codec] = {"label": label, "color": color, "linewidth": 1.2}
  for i, codec in enumerate(tables.our_codecs(rows)):
    color = _OURS[i % len(_OURS)]
    styles[codec] = {"label": f"{codec}, ours", "color": color, "marker": "o", "zorder": 3}
  return styles


def _plot_averages(named, styles, metric):
  figure = Figure(figsize=(8, 6), dpi=100, layout="tight")
  axes = figure.subplots()
  _draw_curves(axes, named, styles)
  axes.set(
    xlabel="bits per pixel", ylabel=curves.METRICS[metric].title, title="Averages over images"
  )
  axes.legend(fontsize=8)
  return figure


def _plot_savings(named, styles, metric, anchor):
  figure = Figure(figsize=(9, 6), dpi=100, layout="constrained")
  axes = figure.subplots()
  for name, own in named.items():
    if len(own.bpp) > 1:
      quality = np.linspace(own.quality[0], own.quality[-1], 400)
      bpp = curves.rate_at(own, quality)
      style = {**styles[name], "marker": None}
    else:
      quality, bpp, style = own.quality, own.bpp, styles[name]
    axes.plot(quality, -curves.relative_rate(named[anchor], bpp, quality), **style)
  title = f"Bits saved against {styles[anchor]['label']}"
  axes.set(xlabel=curves.METRICS[metric].title, ylabel="per cent", title=title)
  axes.grid(alpha=0.3)
  # Beside the curves, which may run anywhere.
  figure.legend(fontsize=8, loc="outside right upper")
  return figure


def _plot_images(images, styles, metric):
  columns = min(6, len(images))
  lines = -(-len(images) // columns)
  figure = Figure(figsize=(2.6 * columns, 2.4 * lines + 0.6), dpi=75)
  grid = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in grid[len(images) :]:
    axes.remove()
  for axes, (name, own) in zip(grid, images.items()):
    _draw_curves(axes, own, {codec: {**style, "markersize": 3} for codec, style in styles.items()})
    axes.set_title(pathlib.Path(name).stem, fontsize=8)
    axes.tick_params(labelsize=7)
  handles, labels = grid[0].get_legend_handles_labels()
  figure.supxlabel("bits per pixel", fontsize=9)
  figure.supylabel(curves.METRICS[metric].title, fontsize=9)
  figure.tight_layout(rect=(0, 0, 1, 1 - 0.4 / figure.get_figheight()))
  figure.legend(handles, labels, loc="upper center", ncols=len(labels), fontsize=8)
  return figure


def _draw_curves(axes, named, styles):
  """Draws up to `_MAX_BPP`, and fits the heights to what is shown."""
  shown = []
  for name, own in named.items():
    axes.plot(own.bpp, own.quality, **styles[name])
    shown.append(own.quality[own.bpp <= _MAX_BPP])
  heights = np.concatenate([*shown, [np.nan]])
  axes.set_xlim(0, _MAX_BPP)
  if np.isfinite(heights).any():
    axes.set_ylim(np.nanmin(heights) - 0.5, np.nanmax(heights) + 0.5)
  axes.grid(alpha=0.3)
