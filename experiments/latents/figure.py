"""The figure: a row of six pictures for each model, with one colour scale per column."""

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from experiments.latents.anatomy import Anatomy

__all__ = ["fullest_channel", "plot"]

_TITLES = ("ŷ", "prediction (mean)", "error, ŷ − mean", "scale", "normalized error", "bits")
_SIGNED = {"cmap": "RdBu_r"}
_STYLES = (_SIGNED, _SIGNED, _SIGNED, {"cmap": "viridis"}, _SIGNED, {"cmap": "magma"})
_LARGEST_NORMALIZED = 4.0  # Larger values all have the last colour.
_FAR = 99.8  # Per cent of the values that a column's colours span.


def fullest_channel(one: Anatomy) -> int:
  """The channel that takes the most bits."""
  return int(np.argmax(one.bits.sum((0, 1), dtype=np.float64)))


def plot(rows: dict[str, Anatomy]) -> Figure:
  """Draws the fullest channel of each model in a row, beside its bits per position."""
  pictures = {name: _pictures(one) for name, one in rows.items()}
  norms = _norms(list(pictures.values()))
  height, width = next(iter(pictures.values()))[0].shape
  across = 2.3
  size = (6 * across + 1.2, (across * height / width + 0.12) * len(rows) + 0.9)
  figure = Figure(figsize=size, dpi=110, layout="constrained")
  axes = figure.subplots(len(rows), 6, squeeze=False)
  for line, (name, one) in zip(axes, rows.items()):
    for column, (place, picture) in enumerate(zip(line, pictures[name])):
      place.imshow(picture, norm=norms[column], interpolation="nearest", **_STYLES[column])
      place.set(xticks=[], yticks=[])
    bits = pictures[name][5].mean()
    line[0].set_ylabel(f"{name}\nchannel {fullest_channel(one)}\n{bits:.2f} bits a position")
  for column, title in enumerate(_TITLES):
    axes[0, column].set_title(title)
    drawn = axes[-1, column].images[0]
    figure.colorbar(drawn, ax=axes[:, column], location="bottom", shrink=0.8, aspect=30)
  return figure


def _pictures(one):
  channel = fullest_channel(one)
  arrays = (one.y_hat, one.mean, one.error, one.scale, one.normalized, one.bits)
  return [array[:, :, channel] for array in arrays]


def _norms(rows):
  """One colour scale per column; the first three, which are in the same units, share one."""

  def far(columns):
    values = np.concatenate([np.ravel(row[column]) for row in rows for column in columns])
    return max(float(np.percentile(np.abs(values), _FAR)), 1e-6)

  latents = Normalize(-far([0, 1, 2]), far([0, 1, 2]))
  normalized = Normalize(-_LARGEST_NORMALIZED, _LARGEST_NORMALIZED)
  return [latents, latents, latents, Normalize(0, far([3])), normalized, Normalize(0, far([5]))]
