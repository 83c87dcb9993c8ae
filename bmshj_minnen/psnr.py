"""PSNR of pictures; TensorFlow is not needed."""

import numpy as np

__all__ = ["psnr"]


def psnr(x: np.ndarray, x_hat: np.ndarray) -> float:
  """Peak signal to noise ratio of two uint8 images of one shape, dB; inf if they are equal."""
  error = np.mean(np.square(x.astype(np.float64) - x_hat.astype(np.float64)))
  return float(10 * np.log10(255**2 / error)) if error else float("inf")
