"""Training on tensorflow-datasets: any dataset by name, or prepared photographs."""

import concurrent.futures
import io
import itertools
import logging
import os
import re
from collections.abc import Iterator
from typing import Callable, Optional

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from bmshj_minnen.data import crops, finding
from bmshj_minnen.file_tools import errors as reasons
from bmshj_minnen.images import formats, image_files

__all__ = ["dataset_crops", "prepare"]

_LOG = logging.getLogger(__name__)
_VERSION = "1.0.0"
_MIN_SIZE = "min_size"  # Metadata of prepared datasets: the shortest side in it.
_AT_ONCE = 64  # Number of photographs in memory during preparation.
_ENCODED = {"image": tfds.decode.SkipDecoding()}


class _Photographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Dataset of encoded photographs, with a name chosen by the user."""

  VERSION = tfds.core.Version(_VERSION)

  def __init__(self, name, examples, min_size, data_dir):
    self.name = name
    self._examples, self._min_size = examples, min_size
    super().__init__(data_dir=data_dir, file_format="array_record")

  def _info(self):
    return tfds.core.DatasetInfo(
      builder=self,
      description=f"Photographs whose sides are at least {self._min_size} pixels.",
      features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(None, None, 3))}),
      metadata=tfds.core.MetadataDict({_MIN_SIZE: self._min_size}),
    )

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    for path, content in self._examples:
      yield path, {"image": io.BytesIO(content)}


def prepare(
  patterns: list[str],
  name: str,
  data_dir: str,
  min_size: int,
  alpha: Optional[str] = None,
  skip: Callable[[str, str], None] = lambda path, reason: None,
) -> int:
  """Writes photographs as a dataset that is sharded, shuffled and allows random access.

  A photograph is stored byte for byte if TensorFlow reads the same pixels as
  `image_files.read_image` (8-bit RGB as PNG or JPEG that needs no rotation and no colour
  conversion), else as a PNG of these pixels. After an interruption, the folder contains nothing
  that could pass for a dataset.

  Args:
    patterns: globs or paths of photographs, see `finding.find_files`.
    name: name of the dataset, in lower case with underscores.
    data_dir: the folder of tensorflow-datasets.
    min_size: minimum of the shorter side in pixels, and the largest crop for training.
    alpha: treatment of transparency, see `image_files.read_image`.
    skip: called with each file that is left out, and the reason.

  Returns:
    The number of photographs in the dataset.

  Raises:
    DataError: no photograph is usable, the dataset exists already, or the name is not valid.
  """
  paths = finding.find_files(patterns)
  if not re.fullmatch("[a-z_][a-z0-9_]*", name):
    raise finding.DataError(
      f"{name!r} cannot be the name of a dataset: use a-z, 0-9 and _, such as my_photos"
    )
  examples = _examples(paths, min_size, alpha, skip)
  # Read the first example now, so that a dataset without photographs is not begun.
  first = next(examples, None)
  if first is None:
    raise finding.DataError(f"none of the {len(paths)} files of {', '.join(patterns)} is usable")
  builder = _Photographs(name, itertools.chain([first], examples), min_size, data_dir or None)
  if builder.is_prepared():
    raise finding.DataError(
      f"there is a dataset {name!r} in {builder.data_dir}: give another --name"
    )
  builder.download_and_prepare()
  return builder.info.splits["train"].num_examples


def _examples(paths, min_size, alpha, skip) -> Iterator[tuple[str, bytes]]:
  """Paths, and contents that are stored."""

  def load(path):
    try:
      return _stored(path, min_size, alpha), ""
    except (ValueError, OSError) as error:
      return None, reasons.reason(path, error)

  with concurrent.futures.ThreadPoolExecutor() as pool:
    for start in range(0, len(paths), _AT_ONCE):
      some = paths[start : start + _AT_ONCE]
      for path, (content, reason) in zip(some, pool.map(load, some)):
        if content is None:
          skip(path, reason)
        else:
          yield os.path.abspath(path), content


def _stored(path, min_size, alpha):
  with open(path, "rb") as file:
    content = file.read()
  image = image_files.read_image(path, alpha, note=lambda text: None, content=content)
  if min(image.shape[:2]) < min_size:
    raise ValueError(f"smaller than {min_size} pixels")
  with formats.open_picture(content) as plain:
    as_it_is = plain.format in ("PNG", "JPEG", "MPO") and plain.mode == "RGB"
    as_it_is = as_it_is and "transparency" not in plain.info and not image_files.is_deep(plain)
    if as_it_is and np.array_equal(np.asarray(plain), image) and _reads(content):
      return content
  return image_files.encode_image(image)


def _reads(content):
  """Whether TensorFlow can also read a photograph, for other users of the dataset."""
  try:
    tf.io.decode_image(content, channels=3, expand_animations=False)
    return True
  except tf.errors.OpError:
    return False


def dataset_crops(name: str, data_dir: str, settings: crops.CropSettings) -> tf.data.Dataset:
  """Random crops of the training split of a dataset with an RGB `image` feature.

  Crops of a dataset from `prepare` depend only on the seed and the step, see `crops.indexed_crops`.
  Any other dataset is read in its own order, roughly shuffled; a run that resumes reads it in
  another order. Images smaller than the crop are left out.

  Args:
    name, data_dir: name of the dataset, and folder of tensorflow-datasets (empty: its default).
    settings: the crops.

  Returns:
    Batches [batch / devices, crop, crop, 3] uint8, one per device for each step.

  Raises:
    DataError: the dataset is unknown, cannot be downloaded, has no RGB images, or was prepared for
      smaller crops.
  """
  try:
    builder = tfds.builder(name, data_dir=data_dir or None)
    builder.download_and_prepare()
  except Exception as error:  # tfds raises many kinds, which all concern this dataset.
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise finding.DataError(f"cannot load dataset {name!r}: {reason}") from error
  feature = dict(builder.info.features.items()).get("image")
  if not isinstance(feature, tfds.features.Image) or feature.shape[-1] != 3:
    raise finding.DataError(f"dataset {name!r} has no RGB feature called 'image'")
  min_size = (builder.info.metadata or {}).get(_MIN_SIZE)
  if min_size is None:
    photographs = _photographs(builder, name, settings.crop, settings.seed + settings.first_step)
    return crops.streamed_crops(photographs, settings)
  if settings.crop > min_size:
    raise finding.DataError(
      f"dataset {name!r} was prepared for crops of at most {min_size}x{min_size}: "
      f"prepare another one with --min_size={settings.crop}"
    )
  source = builder.as_data_source(split="train", decoders=_ENCODED)

  def photograph_at(index):
    content = tf.numpy_function(lambda i: source[int(i)]["image"], [index], tf.string)
    return _decode(tf.ensure_shape(content, []))

  return crops.indexed_crops(photograph_at, len(source), settings)


def _photographs(builder, name, crop, seed):
  """Endless photographs not smaller than a crop, shuffled before they are decoded."""
  contents = builder.as_dataset(split="train", shuffle_files=True, decoders=_ENCODED)
  contents = contents.map(lambda example: example["image"])

  def large_ones(contents):
    decoded = contents.map(_decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return decoded.filter(lambda image, _: tf.reduce_min(tf.shape(image)[:2]) >= crop)

  if next(iter(large_ones(contents)), None) is None:
    raise finding.DataError(f"no image of dataset {name!r} is at least {crop}x{crop}")
  return large_ones(contents.shuffle(256, seed=seed).repeat())


def _decode(content):
  """Encoded photograph -> [H, W, 3] uint8, and whether it is a JPEG.

  A photograph that cannot be read has the shape [0, 0, 3].
  """
  image = tf.ensure_shape(tf.numpy_function(_pixels, [content], tf.uint8), [None, None, 3])
  return image, tf.io.is_jpeg(content)


def _pixels(content):
  try:
    return image_files.read_image("an image of the dataset", "drop", lambda text: None, content)
  except image_files.ImageError as error:
    _LOG.warning("left out: %s", error)
    return np.zeros([0, 0, 3], np.uint8)
