"""Plots of rate-distortion curves, drawn by Matplotlib."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bmshj_minnen.evaluation import curves
from bmshj_minnen.evaluation.classical import REMEDY
from bmshj_minnen.evaluation.line_styles import Appearance

__all__ = ["averages", "draw_savings", "images", "savings"]

_MAX_BPP = 2.0


def averages(
  named: Mapping[str, curves.Curve], looks: Mapping[str, Appearance], metric: str
) -> Any:
  """A `matplotlib.figure.Figure` with one curve per name.

  Raises:
    ValueError: Matplotlib is not installed.
  """
  figure = _figure(figsize=(8, 6), dpi=100, layout="tight")
  axes = figure.subplots()
  _draw_curves(axes, named, looks)
  axes.set(xlabel="bits per pixel", ylabel=curves.METRICS[metric].title)
  if axes.lines:
    axes.legend(fontsize=8)
  return figure


def savings(
  named: Mapping[str, curves.Curve], looks: Mapping[str, Appearance], metric: str, anchor: str
) -> Any:
  """A figure of the bits that each curve saves at equal quality against `anchor`.

  Raises:
    ValueError: Matplotlib is not installed.
  """
  figure = _figure(figsize=(9, 6), dpi=100, layout="constrained")
  axes = figure.subplots()
  draw_savings(axes, named, looks, named[anchor])
  saved = f"bits saved against {looks[anchor].title}, per cent"
  axes.set(xlabel=curves.METRICS[metric].title, ylabel=saved)
  # The legend is beside the axes, where it hides no curve.
  figure.legend(fontsize=8, loc="outside right upper")
  return figure


def draw_savings(
  axes: Any,
  named: Mapping[str, curves.Curve],
  looks: Mapping[str, Appearance],
  anchor: curves.Curve,
) -> None:
  """Draws the bits that curves save at equal quality, in per cent, into `matplotlib.axes.Axes`."""
  for name, own in named.items():
    if len(own.bpp) > 1:
      quality = np.linspace(own.quality[0], own.quality[-1], 400)
      bpp = curves.rate_at(own, quality)
      style = {**_style(looks[name]), "marker": None}
    else:
      quality, bpp, style = own.quality, own.bpp, _style(looks[name])
    axes.plot(quality, -curves.relative_rate(anchor, bpp, quality), **style)
  axes.grid(alpha=0.3)


def images(
  named: Mapping[str, Mapping[str, curves.Curve]], looks: Mapping[str, Appearance], metric: str
) -> Any:
  """A figure with one plot per image and one curve per codec.

  Args:
    named: image -> codec -> curve.
    looks: codec -> appearance.
    metric: a name in `curves.METRICS`.

  Raises:
    ValueError: Matplotlib is not installed.
  """
  columns = min(6, len(named))
  lines = -(-len(named) // columns)
  figure = _figure(figsize=(2.6 * columns, 2.4 * lines + 0.6), dpi=75)
  grid = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in grid[len(named) :]:
    axes.remove()
  for axes, (name, own) in zip(grid, named.items()):
    _draw_curves(axes, own, looks)
    # Within the axes: a figure has its title in the text that shows it.
    label = pathlib.Path(name).stem
    axes.text(0.97, 0.04, label, fontsize=8, transform=axes.transAxes, ha="right")
    axes.tick_params(labelsize=7)
  handles, labels = grid[0].get_legend_handles_labels()
  figure.supxlabel("bits per pixel", fontsize=9)
  figure.supylabel(curves.METRICS[metric].title, fontsize=9)
  figure.tight_layout(rect=(0, 0, 1, 1 - 0.4 / figure.get_figheight()))
  figure.legend(handles, labels, loc="upper center", ncols=len(labels), fontsize=8)
  return figure


def _figure(**options):
  try:
    from matplotlib.figure import Figure
  except ImportError as error:
    raise ValueError(f"plots need Matplotlib: {REMEDY}") from error
  return Figure(**options)


def _style(look):
  return {
    "label": look.title,
    "color": look.colour,
    "linestyle": look.dash,
    "marker": look.symbol,
    "linewidth": 1.2,
    "markersize": 3,
  }


def _draw_curves(axes, named, looks):
  """Draws curves up to `_MAX_BPP`, and fits the vertical range to the visible points."""
  shown = []
  for name, own in named.items():
    if not len(own.bpp):
      continue
    axes.plot(own.bpp, own.quality, **_style(looks[name]))
    shown.append(own.quality[own.bpp <= _MAX_BPP])
  heights = np.concatenate([*shown, [np.nan]])
  axes.set_xlim(0, _MAX_BPP)
  if np.isfinite(heights).any():
    axes.set_ylim(np.nanmin(heights) - 0.5, np.nanmax(heights) + 0.5)
  else:
    axes.text(0.5, 0.5, "no figures", transform=axes.transAxes, ha="center")
  axes.grid(alpha=0.3)
