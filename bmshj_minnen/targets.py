"""The quality at which an image meets a target; TensorFlow is not needed.

Bytes and PSNR grow with the quality, so that a search needs only a few trials.
"""

import math
from collections.abc import Mapping
from typing import Callable, NamedTuple, Optional

from bmshj_minnen import checks
from bmshj_minnen.config import ModelConfig
from bmshj_minnen.format.reading import Header
from bmshj_minnen.quality import QUALITIES, check_quality

__all__ = [
  "Target",
  "TargetError",
  "Trial",
  "check_names",
  "check_request",
  "satisfies_request",
  "search",
]

# The approximate growth of the logarithm of the bytes, and of the PSNR in dB, from one of
# `QUALITIES` to the next; used while only one side is known.
_LOG_BYTES_STEP = 0.0105
_PSNR_STEP = 0.05
_NAMES = ("bytes", "bpp", "psnr")
_PATIENCE = 6  # Trials before the search halves the remaining range instead of interpolating.


class TargetError(ValueError):
  """A target is out of reach; the message has the nearest value in reach."""


class Trial(NamedTuple):
  """The result at one quality: bytes of the file, and PSNR in dB if the target is a PSNR."""

  size: int
  psnr: Optional[float]


class Target(NamedTuple):
  """The target of a file: exactly one of two.

  Attributes:
    bytes: the largest size of the whole file.
    psnr: the least PSNR in dB of the decoded 8-bit image.
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
    """The target for an image; None if no target is given.

    Args:
      pixels: number of pixels of the image.
      bytes: the largest size of the whole file.
      bpp: the largest size of the whole file, in bits per pixel.
      psnr: the least PSNR, in dB.

    Raises:
      TypeError: a target is not a number.
      ValueError: more than one is given, or one is not above 0, or not finite.
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
    """Whether a trial has at most the bytes, or at least the PSNR, of the target."""
    return trial.size <= self.bytes if self.bytes is not None else trial.psnr >= self.psnr


def check_names(target: Mapping[str, float]) -> None:
  """Refuses keyword arguments of `Codec.compress` that are not a target.

  Raises:
    TypeError: there is no target of a name.
  """
  for name in target:
    if name not in _NAMES:
      raise TypeError(f"there is no target {name!r}: give one of {', '.join(_NAMES)}, or a quality")


def check_request(request: dict[str, float], config: ModelConfig) -> None:
  """Refuses requests that a model cannot meet for any image.

  Args:
    request: the keyword arguments of `Codec.compress`: a quality, one of the targets, or nothing.
    config: config of the model.

  Raises:
    TypeError: the quality is not a number.
    ValueError: the quality does not exist, or the model is for one rate.
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
  """Whether an existing file satisfies a request to `Codec.compress`.

  Any file that meets the target counts, even if a better quality would meet it, too.

  Args:
    request: a quality, one of the targets, or nothing.
    config: config of the file's model.
    header: header of the file.
    size: size of the file, bytes.
    measure_psnr: decodes the file and returns its PSNR in dB; called only if the target is a PSNR.

  Raises:
    TypeError: the quality or a target is not a number.
    ValueError: the quality or a target is invalid.
  """
  targets = {name: value for name, value in request.items() if name != "quality"}
  goal = Target.of(header.height * header.width, **targets)
  if goal:
    return goal.is_met(Trial(size, None if goal.psnr is None else measure_psnr()))
  return header.quality == check_quality(request.get("quality"), config)


def search(target: Target, attempt: Callable[[float], Trial]) -> float:
  """The highest quality whose file is small enough, or the lowest whose PSNR is high enough.

  Args:
    target: the target.
    attempt: quality -> its trial; called at most once per quality, and for the returned one, too.

  Raises:
    TargetError: no quality meets the target.
  """
  of_bytes = target.bytes is not None
  if of_bytes:  # A target may be less than a byte.
    goal, step = math.log(max(target.bytes, 1)), _LOG_BYTES_STEP
  else:
    goal, step = target.psnr, _PSNR_STEP
  # The target lies between `low` and `high`: all qualities up to `low` are below it.
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
  """The index to try next: where a straight line through known trials meets the goal."""
  known = low if low in measured else high
  # Two equal images have an infinite PSNR.
  if len(measured) >= _PATIENCE or not math.isfinite(measured.get(known, math.inf)):
    return (low + high) // 2
  if low in measured and high in measured:
    slope = (measured[high] - measured[low]) / (high - low)
    step = slope if 0 < slope < math.inf else step
  estimate = known + (goal - measured[known]) / step
  return min(max(math.floor(estimate), low + 1), high - 1)
