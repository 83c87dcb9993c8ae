"""In which precision g_a and g_s run, and which one this machine is made for."""

import pathlib

from bmshj_minnen import checks
from bmshj_minnen import config as cfg

__all__ = ["bfloat16_is_fast", "resolve"]

_CPUINFO = pathlib.Path("/proc/cpuinfo")
_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def bfloat16_is_fast() -> bool:
  """Whether the processors have instructions for products of bfloat16 matrices."""
  try:
    lines = _CPUINFO.read_text().splitlines()
  except OSError:
    return False
  of_each = [set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
  return bool(of_each) and all(_FAST_BFLOAT16 & own for own in of_each)


def resolve(precision: str) -> str:
  """One of `config.CODEC_PRECISIONS` -> "float32" or "bfloat16": what "auto" is on this machine.

  Raises:
    ValueError: there is no such precision.
  """
  checks.choice("precision", precision, cfg.CODEC_PRECISIONS)
  if precision != "auto":
    return precision
  return "bfloat16" if bfloat16_is_fast() else "float32"
