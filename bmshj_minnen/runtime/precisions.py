"""The precision in which g_a and g_s run, and the choice for this machine."""

import pathlib

from bmshj_minnen import checks
from bmshj_minnen import config as cfg

__all__ = ["bfloat16_is_fast", "resolve"]

_CPUINFO = pathlib.Path("/proc/cpuinfo")
_FAST_BFLOAT16 = {"avx512_bf16", "amx_bf16"}


def bfloat16_is_fast() -> bool:
  """Whether all processors have instructions for products of bfloat16 matrices."""
  try:
    lines = _CPUINFO.read_text().splitlines()
  except OSError:
    return False
  of_each = [set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
  return bool(of_each) and all(_FAST_BFLOAT16 & own for own in of_each)


def resolve(precision: str) -> str:
  """Resolves "auto" for this machine: one of `config.CODEC_PRECISIONS` -> "float32" or "bfloat16".

  Raises:
    ValueError: the precision is unknown.
  """
  checks.choice("precision", precision, cfg.CODEC_PRECISIONS)
  if precision != "auto":
    return precision
  return "bfloat16" if bfloat16_is_fast() else "float32"
