"""Lines that `--verbose` prints about one file."""

import math
import sys
import threading
from typing import TYPE_CHECKING, Optional

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.codec import Latents
from bmshj_minnen.psnr import psnr

if TYPE_CHECKING:
  from bmshj_minnen.model import Model

__all__ = ["Estimator", "estimated_bits", "lines"]


class Estimator:
  """Estimates the bits of files under the float model; may be called by several threads.

  Args:
    model: a model directory, or the name of a shipped model; read when it is first needed.
  """

  def __init__(self, model: str):
    self._name, self._model = model, None
    self._lock = threading.Lock()  # Keras layers are built at their first call.

  def lines(self, latents: Latents, shape: tuple[int, ...]) -> list[str]:
    """The information content of the latents of an image of this shape, as text.

    Args:
      latents: y_hat and z_hat of the image.
      shape: shape of the image, (H, W, 3).

    Returns:
      One line; none without TensorFlow, which the float model needs.
    """
    if sys.modules.get("tensorflow") is None:
      return []
    from bmshj_minnen.model_files import model_directory

    with self._lock:
      if self._model is None:
        self._model = model_directory.load_model(self._name)
      bits = estimated_bits(self._model, latents)
    return [f"estimated bits   {bits:.0f} ({bits / (shape[0] * shape[1]):.4f} bpp)"]


def estimated_bits(model: "Model", latents: Latents) -> float:
  """Information content of the latents of a file under the float model, in bits."""
  rate = model.rate(latents.y_hat[None], latents.z_hat[None])
  return float(rate.y_bits[0] + rate.z_bits[0])


def lines(
  x: Optional[np.ndarray], x_hat: np.ndarray, num_bytes: int, seconds: dict[str, float]
) -> list[str]:
  """Size, distortion (if the original is known) and times, as text.

  Args:
    x: the original, [H, W, 3] uint8.
    x_hat: the reconstruction, [H, W, 3] uint8.
    num_bytes: size of the file.
    seconds: name of a step -> its time in seconds.

  Raises:
    ValueError: the sizes of the two images differ.
  """
  height, width = x_hat.shape[:2]
  text = [
    f"size             {width}x{height}",
    f"bytes            {num_bytes} ({8 * num_bytes / (height * width):.4f} bpp)",
  ]
  if x is not None:
    if x.shape != x_hat.shape:
      size = f"{x.shape[1]}x{x.shape[0]}"
      raise ValueError(f"the original is {size}, the file {width}x{height}")
    text.append(f"PSNR             {psnr(x, x_hat):.3f} dB")
    text += _ms_ssim(x, x_hat)
  text += [f"{name + ' ':17}{value:.3f} s" for name, value in seconds.items()]
  return text


def _ms_ssim(x, x_hat):
  """A line with the MS-SSIM; none without TensorFlow, which computes it."""
  if sys.modules.get("tensorflow") is None:
    return []
  from bmshj_minnen import metrics

  ms_ssim = float(metrics.ms_ssim(x, x_hat))
  small = f"none of sides below {cfg.MS_SSIM_MIN_SIZE}"
  return [f"MS-SSIM          {small if math.isnan(ms_ssim) else format(ms_ssim, '.5f')}"]
