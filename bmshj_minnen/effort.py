"""Effort, 0 to 9: how long `compress` looks for smaller files.

Each effort is a number of steps of gradient descent on the latents, see `coding.refinement`.
"""

from bmshj_minnen import checks

__all__ = ["MAX_EFFORT", "STEPS", "steps_of"]

# Steps of each effort, from 0 (none) to 9. Times grow in proportion to the steps; README.md has the
# bits that they save.
STEPS = (0, 5, 8, 12, 20, 30, 50, 80, 120, 200)
MAX_EFFORT = len(STEPS) - 1


def steps_of(effort: int, refine: int = 0) -> int:
  """The steps of an effort, or a number of steps that is given itself.

  Args:
    effort: 0 (none) to `MAX_EFFORT`.
    refine: a number of steps, at least 0, in place of an effort.

  Raises:
    TypeError: an argument is not a whole number.
    ValueError: an argument is out of range, or both are above 0.
  """
  for name, value in (("effort", effort), ("refine", refine)):
    if not checks.is_whole(value):
      raise TypeError(f"{name} must be a whole number, not {value!r}")
  if not 0 <= effort <= MAX_EFFORT:
    raise ValueError(f"the effort must be 0 to {MAX_EFFORT}, not {effort}")
  if refine < 0:
    raise ValueError(f"refine must be at least 0, not {refine}")
  if effort and refine:
    raise ValueError(
      f"give either an effort or a number of steps: effort {effort} means {STEPS[effort]} steps"
    )
  return refine or STEPS[effort]
