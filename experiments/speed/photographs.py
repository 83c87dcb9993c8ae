"""The default input of the benchmarks: a photograph that a dependency contains."""

import numpy as np

from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files

__all__ = ["batch", "photograph"]


def photograph(path: str, height: int = 512, width: int = 768) -> np.ndarray:
  """An image [H, W, 3] uint8.

  Args:
    path: file of an image, which is not changed; empty: the first bundled photograph, mirrored
      and cropped to the size below.
    height, width: size of the bundled photograph.
  """
  if path:
    return image_files.read_image(path)
  image = image_files.read_image(finding.bundled_photographs()[0])
  missing = [(0, max(0, height - image.shape[0])), (0, max(0, width - image.shape[1])), (0, 0)]
  return np.pad(image, missing, "symmetric")[:height, :width]


def batch(size: int, crop: int) -> np.ndarray:
  """Crops [size, crop, crop, 3] uint8, side by side, of a mirrored bundled photograph."""
  image = photograph("", crop, crop + 32 * (size - 1))
  return np.stack([image[:, 32 * i : 32 * i + crop] for i in range(size)])
