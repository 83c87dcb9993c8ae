"""Makes a folder of small photographs."""

import pathlib

import numpy as np
import PIL.Image

from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files
from experiments import common

__all__ = ["make_photographs"]


def make_photographs(
  folder: pathlib.Path, pattern: str, count: int, width: int, height: int, suffix: str = ".png"
) -> None:
  """Writes random crops of photographs in turn, named 0000, 0001, ...; the same every time.

  Args:
    folder: folder to make.
    pattern: pattern of photographs; empty: the bundled ones.
    count: number of crops.
    width, height: size of the crops; smaller photographs are mirrored.
    suffix: .png or .jpg (with quality 90).

  Raises:
    DataError: no photograph matches.
  """
  folder.mkdir(parents=True)
  paths = finding.find_photographs(common.find_images(pattern), 1).paths[:count]
  random = np.random.default_rng(0)
  for first, path in enumerate(paths):
    photograph = image_files.read_image(path)
    missing = [(0, max(0, n - s)) for n, s in zip((height, width), photograph.shape)]
    photograph = np.pad(photograph, [*missing, (0, 0)], "symmetric")
    for i in range(first, count, len(paths)):
      top, left = (random.integers(0, s - n + 1) for n, s in zip((height, width), photograph.shape))
      crop = photograph[top : top + height, left : left + width]
      PIL.Image.fromarray(crop).save(folder / f"{i:04}{suffix}", quality=90)
