"""Flags of the refinement of latents: an effort or a number of steps, and a λ."""

import math
from typing import Any, Optional

from absl import flags

from bmshj_minnen.effort import MAX_EFFORT, steps_of

__all__ = ["RefinementFlags"]

flags.disclaim_key_flags()  # They belong to the program, whose `--help` must list them.


def _check_steps(values):
  try:
    steps_of(**values)
  except ValueError as error:
    raise flags.ValidationError(str(error)) from error
  return True


class RefinementFlags:
  """Defines flags of programs that can refine latents; values are available after parsing."""

  def __init__(self):
    self._effort = flags.DEFINE_integer(
      "effort",
      0,
      "0 to 9: time for smaller files, by gradient descent on the latents of each photograph; "
      "decompressing takes no longer. experiments/paper has seconds and savings.",
      lower_bound=0,
      upper_bound=MAX_EFFORT,
    )
    self._refine = flags.DEFINE_integer(
      "refine", 0, "Instead of --effort: the number of its steps.", lower_bound=0
    )
    flags.register_multi_flags_validator(("effort", "refine"), _check_steps)
    self._lambda = flags.DEFINE_float(
      "lambda",
      None,
      "λ of R + λD for --effort; by default the λ of the quality, or of the model's training.",
    )
    flags.register_validator(
      "lambda", lambda value: value is None or 0 < value < math.inf, "give a number above 0"
    )

  @property
  def arguments(self) -> dict[str, Any]:
    """Keyword arguments for `bmshj_minnen.load`.

    Raises:
      ValueError: `--lambda` is given without `--effort` or `--refine`.
    """
    return {"refine": self._refine.value, "effort": self._effort.value, "lmbda": self.lmbda}

  @property
  def steps(self) -> int:
    """Number of steps of gradient descent; 0: the latents are not refined."""
    return steps_of(self._effort.value, self._refine.value)

  @property
  def lmbda(self) -> Optional[float]:
    """λ of R + λD for the refinement; None: the default.

    Raises:
      ValueError: `--lambda` is given without `--effort` or `--refine`.
    """
    if self._lambda.value is not None and not self.steps:
      raise ValueError("--lambda is for --effort: give --effort=4, or leave it out")
    return self._lambda.value
