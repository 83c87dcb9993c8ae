"""The fingerprint of a model: a hash of everything that entropy decoding reads."""

import hashlib

import numpy as np

__all__ = ["fingerprint"]

# Increase this when the order of symbols or the arithmetic changes.
_CODING_VERSION = 1


def fingerprint(arrays: dict[str, np.ndarray]) -> bytes:
  """4 bytes: a hash of the arrays of a `FrozenPrior`, by name, and of the coding version."""
  digest = hashlib.sha256(str(_CODING_VERSION).encode())
  for name, value in sorted(arrays.items()):
    # Equal values of any machine representation have equal hashes.
    digest.update(f"{name} {value.shape} ".encode())
    digest.update(str(value).encode() if value.dtype.kind == "U" else value.astype("<f8").tobytes())
  return digest.digest()[:4]
