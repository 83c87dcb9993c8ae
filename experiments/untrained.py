"""Models with random weights, for measurements that do not depend on what a model has learned."""

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.model_files import weights

__all__ = ["DEVIATION", "LARGE_DEVIATION", "model"]

# Untrained latents are scaled to about the deviation that an untrained prior predicts, so that
# the coder has the work of a high rate to do, and little of it escapes the tables.
DEVIATION = 0.5
# From here on hyper-latents are not all zero either, and many latents escape the tables.
LARGE_DEVIATION = 16.0


def model(
  config: bmshj_minnen.ModelConfig, image: np.ndarray, deviation: float = DEVIATION
) -> bmshj_minnen.Model:
  """A model whose latents of `image`, [H, W, 3] uint8, have this standard deviation; seed 0."""
  tf.keras.utils.set_random_seed(0)
  result = bmshj_minnen.Model(config)
  arrays = weights.to_arrays(result)
  y = result.analysis(tf.constant(image[None]))
  arrays["g_a/3/kernel"] = arrays["g_a/3/kernel"] * deviation / np.std(y)
  weights.assign(result, arrays)
  return result
