"""Models with random weights, for measurements that do not depend on training."""

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.model_files import weights

__all__ = ["DEVIATION", "LARGE_DEVIATION", "model"]

# Untrained latents are scaled to about the deviation that an untrained prior predicts, so that
# the coder works as at a high rate, with few latents outside the tables.
DEVIATION = 0.5
# From this deviation on hyper-latents are not all zero, and many latents lie outside the tables.
LARGE_DEVIATION = 16.0


def model(
  config: bmshj_minnen.ModelConfig, image: np.ndarray, deviation: float = DEVIATION
) -> bmshj_minnen.Model:
  """Makes a model whose latents of `image` [H, W, 3] uint8 have this standard deviation; seed 0.

  Raises:
    ValueError: g_a does not end with a linear layer, whose weights scale the latents.
  """
  tf.keras.utils.set_random_seed(0)
  result = bmshj_minnen.Model(config)
  arrays = weights.to_arrays(result)
  x = tf.constant(image[None])
  before = np.std(result.analysis(x))
  *_, last_layer = (name.rpartition("/")[0] for name in arrays if name.startswith("g_a/"))
  for name in arrays:
    if name.rpartition("/")[0] == last_layer:
      arrays[name] = arrays[name] * deviation / before
  weights.assign(result, arrays)
  after = np.std(result.analysis(x))
  if not np.isclose(after, deviation, rtol=0.01):
    raise ValueError(
      f"latents have deviation {after:.3g} instead of {deviation:.3g}: the last layer of g_a must"
      " be linear, such as a convolution without activation"
    )
  return result
