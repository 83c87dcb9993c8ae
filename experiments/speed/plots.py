"""The plot of the benchmark of coding."""

import pathlib
from typing import Any

from matplotlib.figure import Figure

from experiments.speed.coding import PARTS

__all__ = ["bars"]

_COLORS = {
  "analysis": "tab:blue",
  "synthesis": "tab:blue",
  "entropy coding": "tab:orange",
  "entropy decoding": "tab:orange",
  "container": "tab:gray",
}
_UNDIVIDED = "lightgray"


def bars(results: list[dict[str, Any]], path: pathlib.Path) -> None:
  """Writes a PNG: one bar for each model and side, divided into its parts.

  Args:
    results: entries of results.json.
    path: file to write.
  """
  names = list(dict.fromkeys(entry["model"] for entry in results))
  figure = Figure(figsize=(9, 1.2 + 0.5 * len(names)), layout="constrained")
  axes = figure.subplots(1, 2, sharey=True)
  for axis, side in zip(axes, PARTS):
    labelled = set()
    for entry in results:
      if entry["side"] != side:
        continue
      left, row = 0.0, names.index(entry["model"])
      for part, seconds in entry.get("parts", {"": entry["seconds"]}).items():
        label = part if part and part not in labelled else None
        labelled.add(part)
        axis.barh(row, seconds, left=left, color=_COLORS.get(part, _UNDIVIDED), label=label)
        left += seconds
      axis.text(left, row, f" {entry['seconds']:.2f} s", va="center", fontsize=8)
    axis.set_title(side)
    axis.set_xlabel("seconds")
    axis.margins(x=0.2)
    axis.legend(fontsize=8)
  axes[0].set_yticks(range(len(names)), names)
  axes[0].invert_yaxis()
  figure.savefig(path, dpi=120)
