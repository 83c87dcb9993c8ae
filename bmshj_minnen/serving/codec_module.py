"""The codec as signatures: `compress`, `compress_pixels`, `decompress`, `decompress_png`."""

from typing import Optional

import tensorflow as tf

from bmshj_minnen.coding import tensors
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.format import graph_reading
from bmshj_minnen.format.errors import Problem
from bmshj_minnen.format.graph_writing import pack_graph
from bmshj_minnen.quality import QUALITIES
from bmshj_minnen.runtime.graph import traced
from bmshj_minnen.serving import image_decoding
from bmshj_minnen.serving.graph_errors import label, refuse_if, refuse_size

__all__ = ["CodecModule"]

_PARTS = graph_reading.Parts(
  *(tf.TensorSpec([], t) for t in (tf.int32, tf.int32, tf.float32, tf.string, tf.int64))
)


class CodecModule(tf.Module):
  """The operations of `Codec` on batches, as graphs that need tensorflow-compression's ops.

  The images of a batch are coded one after another, and all files of a batch are checked before the
  first is decoded. A bad item ends the call with an InvalidArgument status that names the item.

  Args:
    codec: the codec; its `max_pixels` limits each image, and the total pixels that the files of a
      batch declare.
  """

  def __init__(self, codec: Codec):
    super().__init__()
    self._codec = codec
    self._variables = codec.graphs.variables
    image = tf.TensorSpec([None, None, 3], tf.uint8)
    number, quality = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)
    # Several signatures call these, so they are traced once.
    read = _trace(self._read_item, index=number, data=tf.TensorSpec([], tf.string))
    compress = _trace(self._compress_item, image=image, quality=quality)
    decompress = _trace(self._decompress_item, index=number, **_PARTS._asdict())
    # Hidden in functions; otherwise they would be saved once more, as attributes.
    self._read = lambda *item: read(*item)
    self._compress = lambda *item: compress(*item)
    self._decompress = lambda *item: decompress(*item)

  def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Traces all signatures; names of byte strings end in `_bytes`, which REST needs for base64."""
    strings = tf.TensorSpec([None], tf.string)
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8)
    compress = _trace(self.compress, image_bytes=strings)
    signatures = {
      "serving_default": compress,
      "compress": compress,
      "compress_pixels": _trace(self.compress_pixels, pixels=pixels),
      "decompress": _trace(self.decompress, file_bytes=strings),
      "decompress_png": _trace(self.decompress_png, file_bytes=strings),
    }
    if self._codec.config.gain_lambdas:
      # These are separate signatures, because not every server supports optional inputs.
      at = {"quality": tf.TensorSpec([None], tf.float32)}
      signatures["compress_at_quality"] = _trace(self.compress, image_bytes=strings, **at)
      signatures["compress_pixels_at_quality"] = _trace(self.compress_pixels, pixels=pixels, **at)
    return signatures

  def compress(
    self, image_bytes: tf.Tensor, quality: Optional[tf.Tensor] = None
  ) -> dict[str, tf.Tensor]:
    """Compresses PNG or JPEG files of any sizes.

    Args:
      image_bytes: [B] string, the files.
      quality: [B] float32, 1 to 100 in halves, for a model for many rates; None: the codec's.

    Returns:
      `file_bytes` [B] string.

    Raises:
      InvalidArgumentError: when run, for a file or a quality that is not valid.
    """

    def one(item):
      index, data, quality = item
      return self._compress(self._read(index, data), quality)

    batch = (image_bytes, self._qualities(quality, image_bytes))
    return {"file_bytes": _each(one, batch, tf.string)}

  def compress_pixels(
    self, pixels: tf.Tensor, quality: Optional[tf.Tensor] = None
  ) -> dict[str, tf.Tensor]:
    """Compresses images of one size.

    Args:
      pixels: [B, H, W, 3] uint8.
      quality: [B] float32, 1 to 100 in halves, for a model for many rates; None: the codec's.

    Returns:
      `file_bytes` [B] string.

    Raises:
      InvalidArgumentError: when run, for a size or a quality that is not valid.
    """
    size = tf.shape(pixels, tf.int64)[1:3]
    pixels = refuse_size(size, self._codec.max_pixels, "", pixels)
    batch = (pixels, self._qualities(quality, pixels))
    return {"file_bytes": _each(lambda item: self._compress(*item[1:]), batch, tf.string)}

  def _qualities(self, quality, batch):
    """Checked qualities of the items of a batch, [B] float32."""
    count = tf.shape(batch)[0]
    if quality is None:  # A model for one rate does not read it.
      return tf.fill([count], float(self._codec.quality or 0))
    found = tf.strings.as_string(tf.shape(quality)[0])
    message = ["a quality for each item: expected ", tf.strings.as_string(count), ", found ", found]
    quality = refuse_if(tf.shape(quality)[0] != count, message, quality)
    bad = ~tf.reduce_any(quality[:, None] == QUALITIES, 1)
    # A batch may be empty.
    first = tf.concat([tf.boolean_mask(quality, bad), [0.0]], 0)[0]
    message = [
      label("quality", tf.argmax(tf.concat([bad, [True]], 0))),
      "the quality must be 1 to 100, whole or with a half, not ",
      tf.strings.as_string(first, shortest=True),
    ]
    return refuse_if(tf.reduce_any(bad), message, quality)

  def decompress(self, file_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Files [B] string of images of one size -> `pixels` [B, H, W, 3] uint8.

    Raises:
      InvalidArgumentError: when run, for a file that is not valid, or for different sizes.
    """
    parts = self._unpack(file_bytes)
    sizes = tf.stack([parts.height, parts.width], 1)
    odd = tf.reduce_any(sizes != sizes[:1], 1)
    height, width = tf.unstack(tf.strings.as_string(sizes[tf.argmax(odd)]))
    message = [
      label("file_bytes", tf.argmax(odd)),
      *("a batch must be of one size, and this is ", height, "x", width),
      "; decompress_png takes any",
    ]
    payload = refuse_if(tf.reduce_any(odd), message, parts.payload)
    spec = tf.TensorSpec([None, None, 3], tf.uint8)
    return {
      "pixels": _each(lambda item: self._decompress(*item), parts._replace(payload=payload), spec)
    }

  def decompress_png(self, file_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Files [B] string of images of any sizes -> `png_bytes` [B] string.

    Raises:
      InvalidArgumentError: when run, for a file that is not valid.
    """

    def one(item):
      return tf.io.encode_png(self._decompress(*item))

    return {"png_bytes": _each(one, self._unpack(file_bytes), tf.string)}

  def _read_item(self, index, data):
    return image_decoding.read(data, label("image_bytes", index), self._codec.max_pixels)

  def _compress_item(self, image, quality):
    y, z_hat = self._codec.graphs.analyze(image, quality)
    payload, _ = self._codec.graphs.encode(y, z_hat)
    shape = tf.shape(image)
    quality = quality if self._codec.config.gain_lambdas else None
    return pack_graph(self._codec.fingerprint, shape[0], shape[1], payload, quality)

  def _unpack(self, file_bytes):
    """Checked `Parts` of a batch, each [B]."""
    limit = self._codec.max_pixels
    has_quality = self._codec.config.gain_lambdas is not None

    def one(item):
      index, data = item
      fingerprint = self._codec.fingerprint
      parts, refusal = graph_reading.unpack_graph(data, fingerprint, limit, has_quality)
      message = [label("file_bytes", index), refusal.message]
      return parts._replace(payload=refuse_if(refusal.is_due, message, parts.payload))

    parts = _each(one, (file_bytes,), _PARTS)
    pixels = tf.reduce_sum(tf.cast(parts.height, tf.int64) * tf.cast(parts.width, tf.int64))
    message = ["images too large together: ", tf.strings.as_string(pixels), f" pixels of {limit}"]
    return parts._replace(payload=refuse_if(pixels > limit, message, parts.payload))

  def _decompress_item(self, index, height, width, quality, payload, payload_start):
    y_hat, _, whole = self._codec.graphs.decode(payload, height, width)
    length = tf.strings.as_string(tf.strings.length(payload))
    message = graph_reading.message_graph(
      Problem.PAYLOAD_END,
      payload_start,
      "a whole payload",
      tf.strings.join([length, " bytes"]),
    )
    y_hat = refuse_if(~whole, [label("file_bytes", index), message], y_hat)
    return self._codec.graphs.synthesize(y_hat, height, width, quality)


def _trace(function, **signature):
  """A graph whose arguments have these names, which requests use."""
  specs = [tf.TensorSpec(s.shape, s.dtype, name) for name, s in signature.items()]
  with tensors.graphs_of_other_processes():
    return traced(function, specs).get_concrete_function()


def _each(function, batch, specs):
  """Applies `function` to (index, item...) for one item of a batch after another."""
  items = (tf.range(tf.shape(batch[0])[0]), *batch)
  return tf.map_fn(function, items, fn_output_signature=specs, parallel_iterations=1)
