"""Transposed convolutions as ordinary ones, which matrix products can compute."""

import numpy as np

__all__ = ["phases"]


def phases(kernel: np.ndarray) -> np.ndarray:
  """A 5x5 transposed convolution of stride 2 as a 3x3 one whose outputs are 2x2 positions.

  Output 2 i + p takes input i + d (d = -1, 0, 1) through tap p + 2 - 2 d, where that exists.

  Args:
    kernel: [5, 5, in, out] of `SignalConv2D(corr=False, strides_up=2)`.

  Returns:
    [3, 3, in, 4 out], channels in the order of `tf.nn.depth_to_space`.
  """
  padded = np.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)])  # Tap 5 is the missing one.
  taps = np.array([[4, 2, 0], [5, 3, 1]])  # [phase, d + 1]
  outputs = padded[taps[:, :, None, None], taps[None, None]]  # [py, dy, px, dx, in, out]
  outputs = outputs.transpose(1, 3, 4, 0, 2, 5)
  return outputs.reshape(3, 3, kernel.shape[2], -1)
