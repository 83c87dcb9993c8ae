"""Flags of models for many rates: a quality or a target."""

import math
from typing import Optional

from absl import flags

from bmshj_minnen.config import ModelConfig
from bmshj_minnen.targets import check_request

__all__ = ["QualityFlags"]

flags.disclaim_key_flags()  # They belong to the program, whose `--help` must list them.


class QualityFlags:
  """Defines flags of models for many rates: a quality or a target; available after parsing."""

  def __init__(self):
    self._flags = {
      "quality": flags.DEFINE_float(
        "quality", None, "1 (smallest files) to 100, in halves; 50 by default."
      ),
      "bpp": flags.DEFINE_float("bpp", None, "Instead of a quality: maximum bits per pixel."),
      "bytes": flags.DEFINE_integer("bytes", None, "Instead of a quality: maximum bytes per file."),
      "psnr": flags.DEFINE_float("psnr", None, "Instead of a quality: minimum PSNR in dB."),
    }

  def arguments(self, config: Optional[ModelConfig]) -> dict[str, float]:
    """Keyword arguments for `Codec.compress`: a quality, a target, or none.

    Args:
      config: config of the model; None: the codec checks the arguments later.

    Raises:
      ValueError: more than one flag is given, a value is out of range, or the model has one rate.
    """
    given = {name: flag.value for name, flag in self._flags.items() if flag.value is not None}
    if len(given) > 1:
      raise ValueError(f"give only one of {', '.join(f'--{name}' for name in given)}")
    for name, value in given.items():
      if not 0 < value < math.inf:
        raise ValueError(f"--{name} must be above 0, not {value:g}")
    if config:
      check_request(given, config)
    return given
