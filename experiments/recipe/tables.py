"""The recipes in one table."""

import statistics

from bmshj_minnen.evaluation import markdown

__all__ = ["table"]


def table(steps: list[dict[str, str]], runs: list[dict[str, str]]) -> str:
  """R + λD at the end of each recipe, in Markdown, and its mean change since the start.

  Args:
    steps: rows of `steps.csv`.
    runs: rows of `runs.csv`; the first row of a recipe is the start.
  """
  names = [name for name in runs[0] if name not in ("recipe", "step")]
  head = ["recipe", "ms a step", "of the matrix rate", "steps", f"λ = {names[0]}", *names[1:]]
  lines = []
  for timed in steps:
    own = [row for row in runs if row["recipe"] == timed["recipe"]]
    if own:
      first, last = ([float(row[name]) for name in names] for row in (own[0], own[-1]))
      change = 100 * (statistics.fmean(b / a for a, b in zip(first, last)) - 1)
      share = f"{100 * float(timed['share']):.0f} %"
      cells = [timed["recipe"], f"{float(timed['ms']):.0f}", share, own[-1]["step"]]
      cells += [f"{value:.4f}" for value in last] + [f"{change:+.2f} %"]
      lines.append(cells)
  return markdown.table([*head, "mean change"], lines) + "\n"
