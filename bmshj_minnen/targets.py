"""The quality that meets a target for a photograph; TensorFlow is not needed.

Bytes and PSNR grow with the quality, so that a search needs a handful of trials.
"""

import math
from typing import Callable, NamedTuple, Optional

from bmshj_minnen import checks
from bmshj_minnen.config import ModelConfig
from bmshj_minnen.format.reading import Header
from bmshj_minnen.quality import QUALITIES, check_quality

__all__ = ["Target", "TargetError", "Trial", "check_request", "satisfies_request", "search"]

# How much the logarithm of the bytes and the PSNR in dB grow from one of `QUALITIES` to the next,
# about: where to go on while only one side is known.
_LOG_BYTES_STEP = 0.0105
_PSNR_STEP = 0.05
_PATIENCE = 6  # Trials before the search halves what is left instead of interpolating.


class TargetError(ValueError):
  """A target is out of reach; the message says what is in reach."""


class Trial(NamedTuple):
  """What became of one quality; `psnr` is asked for if the target is one."""

  size: int
  psnr: Optional[float]


class Target(NamedTuple):
  """What a file is to meet; exactly one of both.

  Attributes:
    bytes: the most that the whole file may have.
    psnr: the least PSNR in dB of the decoded 8-bit picture.
  """

  bytes: Optional[int] = None
  psnr: Optional[float] = None

  @classmethod
  def of(
    cls,
    pixels: int,
    bytes: Optional[int] = None,  # noqa: A002 - the word that users know.
    bpp: Optional[float] = None,
    psnr: Optional[float] = None,
  ) -> Optional["Target"]:
    """The target for an image of so many pixels; None if nothing is asked for.

    Raises:
      TypeError: one is no number.
      ValueError: more than one is given, or one that is not above 0, or not finite.
    """
    named = {"bytes": bytes, "bpp": bpp, "psnr": psnr}
    given = {name: value for name, value in named.items() if value is not None}
    if not given:
      return None
    if len(given) > 1:
      raise ValueError("give one target: bytes, bpp or psnr")
    (name,) = given
    value = checks.positive(f"target {name}", given[name])
    if name == "psnr":
      return cls(psnr=value)
    return cls(math.floor(value if name == "bytes" else value * pixels / 8))

  def is_met(self, trial: Trial) -> bool:
    """As many bytes as are allowed are allowed; as much PSNR as is wanted is enough."""
    return trial.size <= self.bytes if self.bytes is not None else trial.psnr >= self.psnr


def check_request(request: dict[str, float], config: ModelConfig) -> None:
  """Refuses requests that a model cannot meet for any photograph.

  Args:
    request: the keyword arguments of `Codec.compress`: a quality, one of the targets, or nothing.
    config: of the model.

  Raises:
    ValueError: there is no such quality, or the model has one rate, and why.
  """
  targets = [name for name in request if name != "quality"]
  if targets and not config.gain_lambdas:
    raise ValueError(
      f"this model has one rate, which meets no target: leave {' and '.join(targets)} out, or take"
      " a model with gains"
    )
  check_quality(request.get("quality"), config)


def satisfies_request(
  request: dict[str, float],
  config: ModelConfig,
  header: Header,
  size: int,
  measure_psnr: Callable[[], float],
) -> bool:
  """Whether a file that is there already is an answer to what `Codec.compress` is asked for.

  A file that meets a target is one. Whether a better quality would meet it too is not known without
  trying.

  Args:
    request: a quality, one of the targets, or nothing.
    config: of its model.
    header: of the file.
    size: of the file, bytes.
    measure_psnr: decodes the file and compares it with its photograph, dB; called only if a PSNR is
      asked for.
  """
  targets = {name: value for name, value in request.items() if name != "quality"}
  goal = Target.of(header.height * header.width, **targets)
  if goal:
    return goal.is_met(Trial(size, None if goal.psnr is None else measure_psnr()))
  return header.quality == check_quality(request.get("quality"), config)


def search(target: Target, attempt: Callable[[float], Trial]) -> float:
  """The highest quality whose file is small enough, or the lowest whose picture is good enough.

  Args:
    target: what is to be met.
    attempt: what becomes of a quality; called for the one that is returned, too, and once for each.

  Raises:
    TargetError: no quality meets the target.
  """
  of_bytes = target.bytes is not None
  goal, step = (math.log(target.bytes), _LOG_BYTES_STEP) if of_bytes else (target.psnr, _PSNR_STEP)
  # Between two neighbours the target is crossed: all up to `low` are below it.
  low, high, measured = -1, len(QUALITIES), {}
  while high - low > 1:
    index = _next(low, high, measured, goal, step)
    trial = attempt(QUALITIES[index])
    measured[index] = math.log(trial.size) if of_bytes else trial.psnr
    below = target.is_met(trial) == of_bytes
    low, high = (index, high) if below else (low, index)
  best = low if of_bytes else high
  if 0 <= best < len(QUALITIES):
    return QUALITIES[best]
  if of_bytes:
    least = round(math.exp(measured[0]))
    raise TargetError(f"{target.bytes} bytes are too few: the lowest quality takes {least}")
  raise TargetError(
    f"{target.psnr:g} dB are too much: the highest quality gives {measured[len(QUALITIES) - 1]:.2f}"
  )


def _next(low, high, measured, goal, step):
  """The index to try: where a straight line through what is known meets the goal."""
  known = low if low in measured else high
  # Two equal pictures have no finite PSNR.
  if len(measured) >= _PATIENCE or not math.isfinite(measured.get(known, math.inf)):
    return (low + high) // 2
  if low in measured and high in measured:
    slope = (measured[high] - measured[low]) / (high - low)
    step = slope if 0 < slope < math.inf else step
  estimate = known + (goal - measured[known]) / step
  return min(max(math.floor(estimate), low + 1), high - 1)
