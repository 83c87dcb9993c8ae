"""Sentences on settings and images that averages, curves and rates leave out, and the reasons."""

from collections.abc import Iterable, Mapping, Sequence

from bmshj_minnen import config
from bmshj_minnen.evaluation import curves, measurements

__all__ = ["of_averages", "of_rates", "too_few_curves"]

_NAMES = {"psnr_db": "PSNR", "ms_ssim": "MS-SSIM"}
# Reasons why a setting has no figure at all.
_WITHOUT = {
  "psnr_db": "all photographs come back exactly",
  "ms_ssim": f"not measured, or all photographs have a side below {config.MS_SSIM_MIN_SIZE} pixels",
}
_MOST = 10  # Maximum number of names in a sentence.


def of_averages(rows: Sequence[measurements.Row]) -> list[str]:
  """Sentences on settings and photographs that averages and their curves leave out."""
  sentences = []
  count = len({row.image for row in rows})
  incomplete = [f"{codec} {setting}" for codec, setting in measurements.incomplete(rows)]
  if incomplete:
    sentences.append(
      f"Left out of curves and rates of averages, since they were not measured on all {count} "
      f"photographs: {_listed(incomplete)}."
    )
  for column, name in _NAMES.items():
    settings = measurements.settings_without_figures(rows, column)
    if settings:
      everything = len(settings) == len({(row.codec, row.setting) for row in rows})
      names = "anything" if everything else _listed(map(" ".join, settings))
      sentences.append(f"No {name} of {names}: {_WITHOUT[column]}.")
    left_out = measurements.without_figure(rows, column)
    if left_out:
      reasons = _listed(f"{image} {_reason(own, column)}" for image, own in left_out.items())
      number = count - len(left_out)
      whose = f"the other {number} photographs" if number else "no photograph"
      sentences.append(
        f"{name}, and its curves and rates of averages, are of {whose}, for all codecs: {reasons}."
      )
  return sentences


def _reason(own, column):
  first, more = own[0], len(own) - 1
  if column == "ms_ssim":
    return f"({first.width}x{first.height}) has a side below {config.MS_SSIM_MIN_SIZE} pixels"
  others = f" and {more} other settings" if more > 1 else " and another setting" if more else ""
  return f"comes back exactly from {first.codec} {first.setting}{others}"


def of_rates(named: Mapping[str, curves.Curve], pairs: Iterable[tuple[str, str]]) -> str:
  """Sentences on pairs of curves without a Bjøntegaard rate; empty if all pairs have one.

  Args:
    named: curves by name.
    pairs: pairs of names.
  """
  pairs = list(pairs)
  return " ".join(filter(None, (_without_overlap(named, pairs), _few_points(named, pairs))))


def _without_overlap(named, pairs):
  reasons = {}
  for pair in pairs:
    shared = curves.overlap(*(named[name] for name in pair))
    if shared < curves.MIN_OVERLAP:
      # Two significant digits show a small overlap; without overlap this prints 0.
      reasons[tuple(sorted(pair))] = f"{' and '.join(sorted(pair))} {shared:.2g} dB"
  if not reasons:
    return ""
  least = f"{curves.MIN_OVERLAP:g} dB of quality that both curves reach"
  return f"No rate (–) where less than {least}: {_listed(reasons.values())}."


def _few_points(named, pairs):
  counts = {name: len(named[name].bpp) for pair in pairs for name in pair}
  few = [f"{name} has {count}" for name, count in counts.items() if 1 < count < curves.MIN_POINTS]
  if not few:
    return ""
  least = f"{curves.MIN_POINTS} points that are better than all smaller ones"
  return f"No rate (–) of curves with fewer than {least}: {_listed(few)}."


def too_few_curves(metric: str) -> str:
  """Sentence in place of a table of Bjøntegaard rates by a metric."""
  title = curves.METRICS[metric].title
  return (
    f"No Bjøntegaard rates by {title}: they need two codecs with figures at two or more settings."
  )


def _listed(parts):
  parts = list(parts)
  more = len(parts) - _MOST
  return ", ".join(parts[:_MOST]) + (f" and {more} more" if more > 0 else "")
