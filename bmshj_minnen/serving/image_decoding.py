"""Decodes PNG and JPEG files within a graph, to the same pixels as `image_files.read_image`.

Files that the graph cannot decode to the same pixels, such as files with colour profiles, are
refused.
"""

import tensorflow as tf

from bmshj_minnen.images import jpeg
from bmshj_minnen.serving import exif, headers, profiles
from bmshj_minnen.serving.byte_ops import number, stored_gzip
from bmshj_minnen.serving.graph_errors import refuse_if, refuse_size

__all__ = ["read"]

_JPEG = b"\xff\xd8\xff"
_MARGIN = 32  # Zeros behind a file, so that fields of a truncated file can be read.
_HINT = "; send its pixels to compress_pixels"
# Ends of scans and intervals in a JPEG that are looked at, from the last one back.
_MAX_MARKS = 1000
_LUMA, _LUMA_TOLERANCE = (0.299, 0.587, 0.114), 3  # In levels of JPEG.
_MAX_PROFILE = 2**16  # Bytes, compressed; profiles of sRGB have at most a few thousand.


def read(data: tf.Tensor, where: tf.Tensor, max_pixels: int) -> tf.Tensor:
  """Decodes a photograph, upright.

  Args:
    data: scalar string, a PNG or JPEG file.
    where: scalar string, the beginning of messages.
    max_pixels: maximum number of pixels, checked before the photograph is decoded.

  Returns:
    [H, W, 3] uint8.

  Raises:
    InvalidArgumentError: when run, for a file that is damaged, too large, or neither PNG nor JPEG;
      or has a colour profile, transparency, CMYK, more than 8 bits per channel, or EXIF or XMP with
      a wrong checksum, which the programs ignore.
  """
  is_png = tf.strings.substr(data, 0, len(headers.PNG)) == headers.PNG
  is_jpeg = tf.strings.substr(data, 0, len(_JPEG)) == _JPEG
  unknown = ~(is_png | is_jpeg)
  reason = tf.where(tf.strings.length(data) == 0, "the file is empty", "neither PNG nor JPEG")
  data = refuse_if(unknown, [where, "not a readable image (", reason, ")"], data)
  octets = tf.io.decode_raw(tf.strings.join([data, bytes(_MARGIN)]), tf.uint8)
  end = tf.size(octets, tf.int64) - _MARGIN
  header = tf.cond(
    is_png, lambda: headers.png_header(octets, end), lambda: headers.jpeg_header(octets, end)
  )
  size = tf.stack([header.height, header.width])
  message = [where, "not a readable image (damaged header)"]
  size = refuse_if(tf.reduce_any(size < 1), message, size)
  data = refuse_size(size, max_pixels, where, data)
  has_orientation = exif.has_orientation(octets, end, header.exif)
  damaged = tf.cond(
    is_png,
    lambda: _is_damaged(data, octets, header.exif) | _is_damaged(data, octets, header.xmp),
    lambda: False,
  )
  data = refuse_if(damaged, [where, f"has damaged metadata{_HINT}"], data)
  data = _refuse_unsupported(header, has_orientation, data, where, is_png)
  rgba = _decode(data, is_png, size)
  message = [where, "not a readable image (damaged, or too large for TensorFlow's decoder)"]
  rgba = refuse_if(tf.size(rgba) == 0, message, rgba)
  message = [where, "not a readable image (truncated: its pixels end early)"]
  lacking = tf.cond(is_png, lambda: False, lambda: _lacks_pixels(data, octets, header.scan, rgba))
  rgba = refuse_if(lacking, message, rgba)
  transparent = header.alpha & tf.reduce_any(rgba[..., 3:] != 255)
  rgb = refuse_if(transparent, [where, "has transparency; lay it on a colour"], rgba[..., :3])
  xmp = _part(data, header.xmp, header.xmp_size)
  return _upright(rgb, exif.orientation(octets, end, header.exif, xmp))


def _refuse_unsupported(header, has_orientation, data, where, is_png):
  for bad, problem in [
    (header.depth > 8, "more than 8 bits a channel"),
    (header.channels > 3, "CMYK colours"),
    (_has_colours(header, data, is_png), "a colour profile other than sRGB"),
    (header.packed & ~has_orientation, "compressed text that may hold an orientation"),
  ]:
    data = refuse_if(bad, [where, f"has {problem}{_HINT}"], data)
  return data


def _is_damaged(data, octets, body):
  """Whether the PNG chunk with a body at `body` has a wrong checksum; False if `body` is 0."""

  def differs():
    size = tf.minimum(number(octets, body - 8, 4), tf.size(octets, tf.int64))
    content = _part(data, body - 4, size + 4)  # Includes the type.
    checksum = _part(data, body + size, 4)
    low_first = tf.strings.reduce_join(tf.reverse(tf.strings.bytes_split(checksum), [0]))
    unpacked = _or_else(
      lambda file: tf.io.decode_compressed(file, "GZIP"),
      stored_gzip(content, low_first),
      tf.constant(""),
    )
    return unpacked != content

  return tf.cond(body > 0, differs, lambda: False)


def _has_colours(header, data, is_png):
  """Whether colours may differ from sRGB."""
  content = _part(data, header.profile, tf.minimum(header.profile_size, _MAX_PROFILE))

  def is_srgb():
    return profiles.means_srgb(tf.cond(is_png, lambda: _inflated(content), lambda: content))

  return tf.cond(header.profile > 0, lambda: ~is_srgb(), lambda: False) | (
    header.more_profile | header.other_colours
  )


def _part(data, start, size):
  """Up to `size` bytes of a file, as far as the file reaches."""
  start = tf.minimum(tf.cast(start, tf.int32), tf.strings.length(data))
  return tf.strings.substr(data, start, tf.cast(tf.maximum(size, 0), tf.int32))


def _inflated(chunk):
  """The profile in an iCCP chunk, after a name, a zero and a method; empty if it is damaged."""
  # The name has at most 79 bytes.
  name = tf.io.decode_raw(tf.strings.join([tf.strings.substr(chunk, 0, 80), bytes(1)]), tf.uint8)
  behind = tf.minimum(tf.argmax(name == 0, output_type=tf.int32) + 2, tf.strings.length(chunk))
  stream = tf.strings.substr(chunk, behind, tf.strings.length(chunk))
  return _or_else(lambda one: tf.io.decode_compressed(one, "ZLIB"), stream, tf.constant(""))


def _decode(data, is_png, size):
  """Pixels [H, W, 4] uint8; [0, 0, 4] if TensorFlow's decoder fails or finds another size."""

  def pixels_of_jpeg(one):
    same = tf.reduce_all(tf.io.extract_jpeg_shape(one, tf.int64)[:2] == size)
    one = refuse_if(~same, ["two sizes"], one)
    # This method is Pillow's default, but not TensorFlow's.
    rgb = tf.io.decode_jpeg(one, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.concat([rgb, tf.fill(tf.shape(rgb[..., :1]), tf.constant(255, tf.uint8))], -1)

  def decode(one):
    return tf.cond(is_png, lambda: tf.io.decode_png(one, channels=4), lambda: pixels_of_jpeg(one))

  return _or_else(decode, data, tf.zeros([0, 0, 4], tf.uint8))


def _lacks_pixels(data, octets, scan, rgba):
  """Whether a scan of a JPEG ends early; `images.jpeg.lacks_pixels` says how this is seen.

  TensorFlow logs a line about bytes behind a scan. So files of one scan are decoded again only if
  their last pixel is as grey as libjpeg leaves missing blocks; less than one is overlooked.
  """
  kinds = octets[1:]
  marks = tf.where((octets[:-1] == 0xFF) & (kinds != 0) & (kinds != 0xFF))[:, 0]
  marks = marks[marks > scan]
  is_end = tf.concat([tf.gather(kinds, marks) == 0xD9, [True]], 0)
  marks = marks[: tf.argmax(is_end, output_type=tf.int32) + 1][-_MAX_MARKS:]
  luma = tf.tensordot(tf.cast(rgba[-1, -1, :3], tf.float32), _LUMA, 1)
  may_lack = (tf.size(marks) > 1) | (tf.abs(luma - 128) < _LUMA_TOLERANCE)

  def differs():
    starts, ends = tf.concat([[0], marks], 0), tf.concat([marks, [tf.size(octets, tf.int64)]], 0)
    parts = tf.map_fn(
      lambda place: _part(data, place[0], place[1] - place[0]),
      (starts, ends),
      fn_output_signature=tf.string,
    )
    padded = tf.strings.reduce_join(parts, separator=jpeg.TAIL)
    other = _decode(padded, tf.constant(False), tf.shape(rgba, tf.int64)[:2])
    same_size = tf.reduce_all(tf.shape(other) == tf.shape(rgba))
    return tf.cond(same_size, lambda: tf.reduce_any(other != rgba), lambda: True)

  return tf.cond(may_lack, differs, lambda: False)


def _or_else(function, data, otherwise):
  """The result of `function`, or `otherwise` if it fails.

  A failing op would end the call without naming the item of the batch; a dataset can skip errors.
  """
  results = tf.data.Dataset.from_tensors(data).map(function).ignore_errors()
  return results.reduce(otherwise, lambda _, result: result)


def _upright(image, orientation):
  """Applies an Exif orientation, 1 to 8, to pixels [H, W, 3], like Pillow's `exif_transpose`."""

  def turn(image, when, otherwise):
    return tf.cond(when, lambda: otherwise(image), lambda: image)

  def among(*values):
    return tf.reduce_any(orientation == values)

  image = turn(image, among(5, 6, 7, 8), lambda i: tf.transpose(i, [1, 0, 2]))
  image = turn(image, among(2, 3, 6, 7), lambda i: tf.reverse(i, [1]))
  return turn(image, among(3, 4, 7, 8), lambda i: tf.reverse(i, [0]))
