"""Photographs for training: finding, checking and cropping them."""

import concurrent.futures
import dataclasses
import glob
import importlib.util
import os
import pathlib
from typing import Optional

import PIL.Image
import tensorflow as tf

__all__ = [
  "DataError",
  "PhotographList",
  "bundled_photographs",
  "dataset_crops",
  "find_photographs",
  "for_every_device",
  "held_out_photographs",
  "photograph_crops",
  "validation_crops",
]

_WHOLE = tf.distribute.InputContext()  # One machine with one device.
_MEMORY = 2**31  # Decoded photographs of up to so many bytes together are kept.

# Sample photographs inside the wheels of two dependencies (all of at least 256x256, RGB).
_BUNDLED = {
  "skimage": (
    "data/astronaut.png",
    "data/coffee.png",
    "data/motorcycle_left.png",
    "data/rocket.jpg",
  ),
  "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
_HELD_OUT = {"skimage": ("data/chelsea.png",)}


class DataError(ValueError):
  """There is nothing to train on; the message is one line that says why."""


@dataclasses.dataclass(frozen=True)
class PhotographList:
  """Photographs that can be cropped, and how many could not.

  Attributes:
    paths: usable files, sorted.
    skipped: reason -> number of files.
  """

  paths: tuple[str, ...]
  skipped: dict[str, int]

  def summary(self) -> str:
    """One line for the log."""
    skipped = "".join(f", {count} skipped: {reason}" for reason, count in self.skipped.items())
    return f"{len(self.paths)} photographs{skipped}"


def bundled_photographs() -> list[str]:
  """Paths of the photographs that come with scikit-image and scikit-learn."""
  return _in_packages(_BUNDLED)


def held_out_photographs() -> list[str]:
  """Paths of bundled photographs that default training never sees."""
  return _in_packages(_HELD_OUT)


def _in_packages(files):
  paths = []
  for package, names in files.items():
    # Not imported: finding a file needs neither package's seconds of start-up.
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent
    paths += [str(folder / name) for name in names]
  return paths


def find_photographs(patterns: list[str], min_size: int) -> PhotographList:
  """Expands patterns and reads every file once, to see whether it can be cropped.

  Args:
    patterns: glob patterns or plain paths; `**` matches folders.
    min_size: the shortest side that is still usable, pixels.

  Raises:
    DataError: nothing matches, or nothing that matches is usable.
  """
  paths = sorted({p for pattern in patterns for p in glob.glob(pattern, recursive=True)})
  paths = [p for p in paths if os.path.isfile(p)]
  if not paths:
    raise DataError(f"no file matches {', '.join(patterns)}")
  with concurrent.futures.ThreadPoolExecutor() as pool:
    reasons = list(pool.map(lambda path: _defect(path, min_size), paths))
  skipped: dict[str, int] = {}
  for reason in filter(None, reasons):
    skipped[reason] = skipped.get(reason, 0) + 1
  usable = tuple(p for p, reason in zip(paths, reasons) if reason is None)
  if not usable:
    counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    raise DataError(f"none of the {len(paths)} files of {', '.join(patterns)} is usable: {counts}")
  return PhotographList(usable, skipped)


def _defect(path: str, min_size: int) -> Optional[str]:
  """Why a file cannot be cropped, or None."""
  try:
    with PIL.Image.open(path) as image:
      if image.format not in ("JPEG", "MPO", "PNG", "GIF", "BMP"):  # MPO: JPEGs of phones.
        return "not JPEG, PNG, GIF or BMP"
      if image.mode not in ("RGB", "RGBA", "P", "CMYK"):
        return "grey or more than 8 bits"
      if image.format == "BMP" and image.mode != "RGB":
        return "BMP with a palette"  # Which TensorFlow misreads.
      if min(image.size) < min_size:
        return f"smaller than {min_size} pixels"
      image.load()
  except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError):
    return "unreadable"
  return None


def photograph_crops(
  paths: tuple[str, ...],
  crop: int,
  batch: int,
  seed: int,
  first_step: int,
  last_step: int,
  part: tf.distribute.InputContext = _WHOLE,
) -> tf.data.Dataset:
  """Random crops, flipped at random, as a function of the seed and the step alone.

  A run that resumes at a step sees the crops that it would have seen without the interruption:
  epoch e visits the photographs in a permutation that depends on (seed, e) only.

  Args:
    paths: usable photographs.
    crop: side of the crops, pixels.
    batch: crops a step, of all devices together.
    seed: of the order, the places and the flips.
    first_step, last_step: the steps for which there are crops, the last one exclusive.
    part: of which devices the crops are.

  Returns:
    Batches [batch / devices, crop, crop, 3] uint8, for each step one a device.
  """
  count = len(paths)
  image_at = _reader(paths)

  def example(position):
    epoch = tf.cast(position // count, tf.int32)
    index = tf.random.experimental.index_shuffle(
      tf.cast(position % count, tf.int32), tf.stack([seed, epoch]), count - 1
    )
    return _random_crop(image_at(index), crop, tf.stack([seed, tf.cast(position, tf.int32)]))

  positions = _part_of(tf.data.Dataset.range(first_step * batch, last_step * batch), batch, part)
  examples = positions.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  return _batches(examples, batch, part)


def _part_of(examples, batch, part):
  """Those of the examples of all steps that one machine trains on."""
  machines = part.num_input_pipelines
  if machines == 1:
    return examples
  return examples.batch(batch // machines).shard(machines, part.input_pipeline_id).unbatch()


def _batches(examples, batch, part):
  return examples.batch(batch // part.num_replicas_in_sync, drop_remainder=True).prefetch(2)


def _reader(paths):
  """A function from an index to that photograph, [H, W, 3] uint8.

  Photographs that fit are decoded once; decoding them again for every crop takes as long as
  training a small model.
  """
  files = tf.constant(paths)
  total = 0
  for path in paths:
    with PIL.Image.open(path) as image:
      total += image.width * image.height * 3
  if total > _MEMORY:
    return lambda index: _decode(files[index])
  with concurrent.futures.ThreadPoolExecutor() as pool:
    images = list(pool.map(_decode, paths))
  shapes = tf.stack([tf.shape(image) for image in images])
  starts = tf.cumsum(tf.reduce_prod(tf.cast(shapes, tf.int64), 1), exclusive=True)
  pixels = tf.concat([tf.reshape(image, [-1]) for image in images], 0)

  def image_at(index):
    size = tf.reduce_prod(tf.cast(shapes[index], tf.int64))
    return tf.reshape(tf.slice(pixels, [starts[index]], [size]), shapes[index])

  return image_at


def _decode(path):
  return tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)


def dataset_crops(
  name: str,
  data_dir: str,
  crop: int,
  batch: int,
  seed: int,
  first_step: int,
  part: tf.distribute.InputContext = _WHOLE,
) -> tf.data.Dataset:
  """Random crops of a tensorflow-datasets dataset with an `image` feature.

  Only the training split is read; images smaller than the crop are left out.

  Returns:
    An endless dataset of batches [batch / devices, crop, crop, 3] uint8, for each step one a
    device of `part`.

  Raises:
    DataError: the dataset is unknown, not on disk and not to be had, or has no images.
  """
  import tensorflow_datasets as tfds  # Seconds to import, and needed for this alone.

  try:
    dataset = tfds.load(name, split="train", data_dir=data_dir or None, shuffle_files=True)
  except Exception as error:  # tfds raises many kinds, all of them about this dataset.
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise DataError(f"cannot load dataset {name!r}: {reason}") from error
  feature = dataset.element_spec.get("image") if isinstance(dataset.element_spec, dict) else None
  if feature is None or feature.shape[-1] != 3:
    raise DataError(f"dataset {name!r} has no RGB feature called 'image'")
  # Reads on from another place of the order when a run resumes.
  shuffle_seed = seed + first_step
  dataset = dataset.map(lambda example: example["image"])
  dataset = dataset.filter(lambda image: tf.reduce_min(tf.shape(image)[:2]) >= crop)
  if next(iter(dataset), None) is None:
    raise DataError(f"no image of dataset {name!r} is at least {crop}x{crop}")
  dataset = dataset.shuffle(256, seed=shuffle_seed).repeat().enumerate(first_step * batch)
  dataset = _part_of(dataset, batch, part).map(
    lambda position, image: _random_crop(
      image, crop, tf.stack([seed, tf.cast(position, tf.int32)])
    ),
    num_parallel_calls=tf.data.AUTOTUNE,
  )
  return _batches(dataset, batch, part)


def validation_crops(paths: tuple[str, ...], crop: int, batch: int) -> tf.data.Dataset:
  """The central crop of each photograph.

  Returns:
    Batches [<= batch, crop, crop, 3] uint8.
  """

  def example(path):
    image = _decode(path)
    top = (tf.shape(image)[0] - crop) // 2
    left = (tf.shape(image)[1] - crop) // 2
    return tf.ensure_shape(image[top : top + crop, left : left + crop], [crop, crop, 3])

  return tf.data.Dataset.from_tensor_slices(list(paths)).map(example).batch(batch)


def for_every_device(batches: tf.data.Dataset, part: tf.distribute.InputContext) -> tf.data.Dataset:
  """Batches such that each device of a machine gets all of them, and none a part of one.

  Convolutions fail where a device gets nothing of a last batch.
  """
  devices = part.num_replicas_in_sync // part.num_input_pipelines
  return batches.flat_map(lambda x: tf.data.Dataset.from_tensors(x).repeat(devices))


def _random_crop(image, crop, seed):
  image = tf.image.stateless_random_crop(image, [crop, crop, 3], seed)
  return tf.image.stateless_random_flip_left_right(image, seed)
