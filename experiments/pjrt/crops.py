"""Crops to train on, without TensorFlow: from a folder of photographs or a packed array.

The crops of a step depend on the seed and the step alone, so that a resumed run sees the same crops
as an uninterrupted one.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image

__all__ = ["Source", "batches", "central_crops", "open_source"]

_MEMORY = 4 * 2**30  # Largest total size of decoded photographs kept in memory, bytes.


@dataclasses.dataclass(frozen=True)
class Source:
  """Photographs by index.

  Attributes:
    count: number of photographs.
    read: index -> [H, W, 3] uint8, at least as large as the crop.
    summary: one line to print.
  """

  count: int
  read: Callable[[int], np.ndarray]
  summary: str


def open_source(path: pathlib.Path, crop: int) -> Source:
  """Opens a folder, subfolders included, or an array [count, H, W, 3] uint8 in a .npy file.

  Raises:
    ValueError: the source has no photograph that can be cropped.
  """
  if path.is_dir():
    return _folder(path, crop)
  try:
    array = np.load(path, mmap_mode="r")
  except (OSError, ValueError, EOFError) as error:
    raise ValueError(f"{path} is neither a folder nor a .npy array: {error}") from error
  if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8 or not len(array):
    raise ValueError(f"{path} holds {array.dtype}{list(array.shape)}, not uint8 [count, H, W, 3]")
  if min(array.shape[1:3]) < crop:
    raise ValueError(f"the pictures of {path} are smaller than the crops of {crop} pixels")
  return Source(len(array), lambda index: array[index], f"{len(array)} pictures of {path}")


def _folder(folder, crop):
  paths = sorted(path for path in folder.rglob("*") if path.is_file())
  with concurrent.futures.ThreadPoolExecutor() as pool:
    sizes = dict(zip(paths, pool.map(_size, paths)))
  usable = [path for path in paths if sizes[path] and min(sizes[path]) >= crop]
  if not usable:
    raise ValueError(
      f"none of the {len(paths)} files of {folder} is a colour picture of at least {crop}x{crop}"
    )
  read = _decode
  if 3 * sum(sizes[path][0] * sizes[path][1] for path in usable) <= _MEMORY:
    read = functools.cache(_decode)
  summary = f"{len(usable)} photographs of {folder}, {len(paths) - len(usable)} files skipped"
  return Source(len(usable), lambda index: read(usable[index]), summary)


def _size(path):
  """Width and height of a picture that can be decoded and has colours, or None."""
  try:
    with PIL.Image.open(path) as image:
      image.load()
      return image.size if image.mode in ("RGB", "P", "CMYK") else None
  except Exception:  # Damaged files make Pillow raise nearly anything.
    return None


def _decode(path):
  with PIL.Image.open(path) as image:
    return np.asarray(image.convert("RGB"))


def batches(
  source: Source, crop: int, batch: int, seed: int, first: int, sizes: Iterator[int], as_is: bool
) -> Iterator[np.ndarray]:
  """Crops for several steps at once, made ahead in threads.

  Args:
    source: photographs to crop.
    crop: side of a crop, pixels.
    batch: crops per step.
    seed: seed of the order, the positions and the flips.
    first: the first step.
    sizes: number of steps in each array.
    as_is: the source's pictures in their order, cut at the top left corner, without flips.

  Yields:
    [steps, batch, crop, crop, 3] uint8.
  """
  make = functools.partial(_example, source, crop, seed, as_is)
  with concurrent.futures.ThreadPoolExecutor() as pool:
    pending = collections.deque()
    position = first * batch
    for steps in sizes:
      pending.append((steps, pool.map(make, range(position, position + steps * batch))))
      position += steps * batch
      if len(pending) > 2:
        yield _stack(*pending.popleft(), batch)
    while pending:
      yield _stack(*pending.popleft(), batch)


def _stack(steps, crops, batch):
  crops = np.stack(list(crops))
  return crops.reshape(steps, batch, *crops.shape[1:])


def _example(source, crop, seed, as_is, position):
  epoch, index = divmod(position, source.count)
  if as_is:
    return source.read(index)[:crop, :crop]
  random = np.random.default_rng([seed, position])
  image = source.read(_order(seed, epoch, source.count)[index])
  top, left = (random.integers(side - crop + 1) for side in image.shape[:2])
  image = image[top : top + crop, left : left + crop]
  return image[:, ::-1] if random.integers(2) else image


@functools.lru_cache(maxsize=4)
def _order(seed, epoch, count):
  return np.random.default_rng([seed, epoch, count]).permutation(count)


def central_crops(source: Source, crop: int) -> Iterator[np.ndarray]:
  """Yields the middle of each picture, [1, crop, crop, 3] uint8."""
  for index in range(source.count):
    image = source.read(index)
    top, left = ((side - crop) // 2 for side in image.shape[:2])
    yield image[None, top : top + crop, left : left + crop]
