"""Operations for coding an image, and this machine's speed of matrix products."""

import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg

__all__ = ["BYTES", "Operations", "operations", "product_rate"]

_SIZE = 4096
_RUNS = 5
BYTES = 2  # Exact networks multiply the high and the low byte separately.


class Operations(NamedTuple):
  """Operations of float transforms and of exact networks, whose products are in float32."""

  float: float
  exact: float


def operations(
  config: cfg.ModelConfig, weights: dict[str, np.ndarray], height: int, width: int
) -> dict[str, Operations]:
  """Multiplications and additions in the matrix products for an image.

  Args:
    config: the model's configuration.
    weights: the model's arrays, named as in `bmshj_minnen.model_files.weights`.
    height, width: size of the image, pixels.

  Returns:
    Operations for "encode" and "decode": all convolutions and dense layers that the codec computes.
  """
  y = cfg.latent_size(height) * cfg.latent_size(width)
  # Positions at the coarser end of each layer, where a strided layer's products are counted.
  positions = {"g_a": [64 * y, 16 * y, 4 * y, y], "g_s": [y, 4 * y, 16 * y, 64 * y]}
  positions |= {"h_a": [y, y / 4, y / 16], "h_s": [y / 16, y / 4, y]}
  sums = dict.fromkeys(("g_a", "g_s", "h_a", "h_s", "g_cm", "g_ep"), 0.0)
  for name, array in weights.items():
    part, *rest = name.split("/")
    if part not in sums or rest[-1] not in ("kernel", "gamma"):
      continue
    count = positions[part][int(rest[0])] if part in positions else y
    if part == "g_s" and rest[-1] == "gamma":
      count *= 4  # This layer follows the one that doubles both sides.
    taps = array.size * (12 / 25 if part == "g_cm" else 1)
    sums[part] += 2 * count * taps
  exact = BYTES * (sums["h_s"] + sums["g_cm"] + sums["g_ep"])
  return {
    "encode": Operations(sums["g_a"] + sums["h_a"], exact),
    "decode": Operations(sums["g_s"], exact),
  }


def product_rate(dtype: str) -> float:
  """Operations per second of TensorFlow's matrix product here: the best of some runs."""
  a = tf.cast(tf.random.normal([_SIZE, _SIZE]), dtype)
  product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
  product().numpy()
  seconds = []
  for _ in range(_RUNS):
    start = time.perf_counter()
    product().numpy()
    seconds.append(time.perf_counter() - start)
  return 2 * _SIZE**3 / min(seconds)
