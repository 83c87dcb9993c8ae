"""p(ŷ | mean, scale) of the paper: a Gaussian convolved with a unit box (equation 3)."""

from typing import Optional

from bmshj_minnen import config
from bmshj_minnen.entropy.conditional import Conditional

__all__ = ["GaussianConditional"]


class GaussianConditional(Conditional):
  """Π (N(mean, scale²) * U(-½, ½))(ŷ), with scales from a log-spaced table.

  `Conditional` has the arithmetic, which serves other densities, too.

  Args:
    model_config: settings of the model; None: the paper's.

  Raises:
    ValueError: the model has another density.
  """

  def __init__(self, model_config: Optional[config.ModelConfig] = None):
    model_config = model_config or config.ModelConfig()
    if model_config.density != config.PAPERS_DENSITY:
      raise ValueError(f"the density is {model_config.density!r}, not {config.PAPERS_DENSITY!r}")
    super().__init__(model_config)
