"""PSNR of images; TensorFlow is not needed."""

import numpy as np

__all__ = ["psnr"]


def psnr(x: np.ndarray, x_hat: np.ndarray) -> float:
  """Peak signal to noise ratio of two images [...] uint8 in dB; inf if they are equal.

  Raises:
    ValueError: the shapes differ, the values are not uint8, or there are none.
  """
  x, x_hat = np.asarray(x), np.asarray(x_hat)
  if x.shape != x_hat.shape:
    raise ValueError(f"images of one shape are compared, not {x.shape} and {x_hat.shape}")
  if not x.dtype == x_hat.dtype == np.uint8:
    raise ValueError(f"PSNR needs pixels as uint8, 0..255, not {x.dtype} and {x_hat.dtype}")
  if not x.size:
    raise ValueError(f"PSNR needs pixels, and these images are of shape {x.shape}")
  error = np.mean(np.square(x.astype(np.float64) - x_hat.astype(np.float64)))
  return float(10 * np.log10(255**2 / error)) if error else float("inf")
