"""Crops of photographs for training, as tf.data pipelines that decode ahead of the steps."""

import concurrent.futures
import dataclasses
import os
import pathlib
from typing import Callable

import tensorflow as tf

from bmshj_minnen.images import formats, image_files

__all__ = [
  "CropSettings",
  "for_every_device",
  "indexed_crops",
  "indexed_examples",
  "photograph_crops",
  "streamed_crops",
  "validation_crops",
]

_WHOLE = tf.distribute.InputContext()  # One machine with one device.
# AutoGraph takes longer to convert these functions than TensorFlow to trace them.
_as_written = tf.autograph.experimental.do_not_convert
_MEMORY = 2**31  # Decoded photographs are kept in memory up to this number of bytes.


@dataclasses.dataclass(frozen=True)
class CropSettings:
  """The crops that a run takes, and the steps and devices that take them.

  Attributes:
    crop: side of the crops in pixels.
    batch: crops per step, of all devices together.
    seed: seed of the order, the places and the flips.
    first_step, last_step: the steps that need crops; `last_step` is exclusive.
    part: the devices that receive the crops.
    downscale: whether JPEGs are downscaled before they are cropped, which hides their blocks. The
      factor is between 1 and the one at which the crop covers the whole shorter side.
  """

  crop: int
  batch: int
  seed: int
  first_step: int
  last_step: int
  part: tf.distribute.InputContext = _WHOLE
  downscale: bool = False


def photograph_crops(paths: tuple[str, ...], settings: CropSettings) -> tf.data.Dataset:
  """Random crops of usable photographs, flipped at random.

  Args:
    paths: usable photographs, see `finding.find_photographs`.
    settings: the crops.

  Returns:
    Batches [batch / devices, crop, crop, 3] uint8, one per device for each step.
  """
  return indexed_crops(_reader(paths), len(paths), settings)


def indexed_crops(
  photograph_at: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
  count: int,
  settings: CropSettings,
) -> tf.data.Dataset:
  """Random crops, flipped at random; they depend only on the seed and the step.

  Args:
    photograph_at: index -> photograph [H, W, 3] uint8, and whether it was stored as JPEG.
    count: number of photographs.
    settings: the crops; for their order see `indexed_examples`.

  Returns:
    Batches [batch / devices, crop, crop, 3] uint8, one per device for each step.
  """

  def crop_at(index, crop_seed):
    return _random_crop(*photograph_at(index), settings.crop, crop_seed, settings.downscale)

  return indexed_examples(
    crop_at,
    count,
    settings.batch,
    settings.seed,
    settings.first_step,
    settings.last_step,
    settings.part,
  )


def indexed_examples(
  example_at: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
  count: int,
  batch: int,
  seed: int,
  first_step: int,
  last_step: int,
  part: tf.distribute.InputContext = _WHOLE,
) -> tf.data.Dataset:
  """Examples in an order that depends only on the seed and the step.

  A run that resumes at a step sees the same examples as a run without the interruption: epoch e
  visits all examples in a permutation that depends only on (seed, e).

  Args:
    example_at: index, and a seed [2] int32 that differs at each visit -> one example.
    count: number of examples.
    batch: examples per step, of all devices together.
    seed: seed of the order.
    first_step, last_step: the steps that need examples; `last_step` is exclusive.
    part: the devices that receive the examples.

  Returns:
    Batches of batch / devices examples, one per device for each step.
  """

  @_as_written
  def example(position):
    epoch = tf.cast(position // count, tf.int32)
    index = tf.random.experimental.index_shuffle(
      tf.cast(position % count, tf.int32), tf.stack([seed, epoch]), count - 1
    )
    return example_at(index, _seed(seed, position))

  positions = _part_of(tf.data.Dataset.range(first_step * batch, last_step * batch), batch, part)
  examples = positions.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
  return _batches(examples, batch, part)


def streamed_crops(photographs: tf.data.Dataset, settings: CropSettings) -> tf.data.Dataset:
  """Random crops, flipped at random, of a stream of photographs, in the order of the stream.

  Args:
    photographs: endless pairs of a photograph [H, W, 3] uint8 and whether it was stored as JPEG.
    settings: the crops; they do not end at `last_step`.

  Returns:
    Batches [batch / devices, crop, crop, 3] uint8, one per device for each step.
  """
  batch, part = settings.batch, settings.part

  @_as_written
  def crop_of(position, photograph):
    crop_seed = _seed(settings.seed, position)
    return _random_crop(*photograph, settings.crop, crop_seed, settings.downscale)

  examples = _part_of(photographs.enumerate(settings.first_step * batch), batch, part).map(
    crop_of, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
  )
  return _batches(examples, batch, part)


def _seed(seed, position):
  return tf.stack([seed, tf.cast(position, tf.int32)])


def _part_of(examples, batch, part):
  """The examples of one machine, from the examples of all steps."""
  machines = part.num_input_pipelines
  if machines == 1:
    return examples
  return examples.batch(batch // machines).shard(machines, part.input_pipeline_id).unbatch()


def _batches(examples, batch, part):
  return examples.batch(batch // part.num_replicas_in_sync, drop_remainder=True).prefetch(2)


def _reader(paths):
  """A function: index -> photograph [H, W, 3] uint8, and whether it is a JPEG.

  Photographs that fit in memory are decoded once; decoding them again for every crop takes as long
  as training a small model.
  """
  files = tf.constant(paths)
  is_jpeg = tf.constant([_is_jpeg(path) for path in paths])
  if not _fit(paths):
    return lambda index: (_decode(files[index]), is_jpeg[index])
  with concurrent.futures.ThreadPoolExecutor() as pool:
    pictures = list(pool.map(_read, paths))
  shapes = tf.stack([tf.shape(picture) for picture in pictures])
  starts = tf.cumsum(tf.reduce_prod(tf.cast(shapes, tf.int64), 1), exclusive=True)
  pixels = tf.concat([tf.reshape(picture, [-1]) for picture in pictures], 0)

  def photograph_at(index):
    size = tf.reduce_prod(tf.cast(shapes[index], tf.int64))
    image = tf.reshape(tf.slice(pixels, [starts[index]], [size]), shapes[index])
    return image, is_jpeg[index]

  return photograph_at


def _is_jpeg(path):
  with open(path, "rb") as file:
    return file.read(3) == b"\xff\xd8\xff"


def _fit(paths):
  """Whether all decoded photographs can be kept in memory."""
  left = _MEMORY
  for path in paths:
    with formats.open_picture(pathlib.Path(path).read_bytes()) as image:
      left -= image.width * image.height * 3
    if left < 0:
      return False
  return True


def _read(path):
  """Reads a photograph with the options of `finding.find_photographs`, which has read it."""
  return image_files.read_image(os.fsdecode(path), "drop", lambda text: None, was_read=True)


def _decode(path):
  return tf.ensure_shape(tf.numpy_function(_read, [path], tf.uint8), [None, None, 3])


def validation_crops(paths: tuple[str, ...], crop: int, batch: int) -> tf.data.Dataset:
  """The central crop of each photograph.

  Returns:
    Batches [<= batch, crop, crop, 3] uint8.
  """

  @_as_written
  def example(path):
    image = _decode(path)
    top = (tf.shape(image)[0] - crop) // 2
    left = (tf.shape(image)[1] - crop) // 2
    return tf.ensure_shape(image[top : top + crop, left : left + crop], [crop, crop, 3])

  return tf.data.Dataset.from_tensor_slices(list(paths)).map(example).batch(batch)


def for_every_device(batches: tf.data.Dataset, part: tf.distribute.InputContext) -> tf.data.Dataset:
  """Repeats batches so that each device of a machine gets all of them, undivided.

  If a last batch were divided, convolutions would fail on devices without examples.
  """
  devices = part.num_replicas_in_sync // part.num_input_pipelines
  return batches.flat_map(_as_written(lambda x: tf.data.Dataset.from_tensors(x).repeat(devices)))


def _random_crop(image, is_jpeg, crop, seed, downscale):
  side = _side_to_downscale(tf.shape(image), is_jpeg, crop, seed) if downscale else crop
  image = tf.image.stateless_random_crop(image, [side, side, 3], seed)
  if downscale:
    image = tf.cond(side == crop, lambda: image, lambda: _resize(image, crop))
    image = tf.ensure_shape(image, [crop, crop, 3])
  return tf.image.stateless_random_flip_left_right(image, seed)


def _side_to_downscale(shape, is_jpeg, crop, seed):
  """The side of the square that is downscaled to a crop, for a uniformly drawn factor.

  Apart from the square's edges, downscaling this square equals downscaling the photograph and
  cropping it, but is much cheaper.
  """
  shorter = tf.minimum(shape[0], shape[1])
  smallest = tf.cast(crop / shorter, tf.float32)
  seed = tf.random.experimental.stateless_fold_in(seed, 1)
  factor = tf.random.stateless_uniform([], seed, smallest, 1.0)
  side = tf.cast(tf.round(crop / factor), tf.int32)
  return tf.where(is_jpeg, tf.clip_by_value(side, crop, shorter), crop)


def _resize(image, crop):
  image = tf.image.resize(image, [crop, crop], "bicubic", antialias=True)
  return tf.saturate_cast(tf.round(image), tf.uint8)
