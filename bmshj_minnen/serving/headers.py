"""Reads the headers of PNG and JPEG files within a graph."""

from typing import NamedTuple

import tensorflow as tf

from bmshj_minnen.images import png
from bmshj_minnen.serving import exif as exif_data
from bmshj_minnen.serving.byte_ops import matches, number

__all__ = ["PNG", "PictureHeader", "jpeg_header", "png_header"]

PNG = b"\x89PNG\r\n\x1a\n"
# Photographs have a few dozen segments, and in PNG some thousand chunks of pixels; a loop over
# millions would take minutes.
_MAX_SEGMENTS, _MAX_PARTS = 1000, 2**14
_START_OF_SCAN = 0xDA
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # ITU-T T.81, table B.1: all others of C0 to CF start a frame.
_ICC = b"ICC_PROFILE\0\1\1"  # Start of a profile in one part.
_XMP_OF_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_OF_PNG, _EXIF_IN_TEXT = b"XML:com.adobe.xmp\0", b"Raw profile type exif\0"


class PictureHeader(NamedTuple):
  """Header of a file, as scalars; positions and sizes are int64, 0 for missing parts.

  Attributes:
    height, width: size of the stored pixels, int64; 0 if it is unknown.
    depth, channels: bits per channel, and number of channels (above 3 only for CMYK), int64.
    alpha: whether there is transparency, bool.
    profile, profile_size: position and size of the ICC profile: in JPEG files the profile itself,
      in PNG files a chunk.
    more_profile: whether the profile has further parts, or there are several profiles, bool.
    other_colours: whether colours other than sRGB are declared without a profile, bool.
    exif: position of the TIFF header of the Exif data.
    xmp, xmp_size: position and size of an XMP packet.
    packed: whether compressed text may contain Exif data or XMP, bool.
    scan: position of the first scan of a JPEG file.
  """

  height: tf.Tensor
  width: tf.Tensor
  depth: tf.Tensor
  channels: tf.Tensor
  alpha: tf.Tensor
  profile: tf.Tensor
  profile_size: tf.Tensor
  more_profile: tf.Tensor
  other_colours: tf.Tensor
  exif: tf.Tensor
  xmp: tf.Tensor
  xmp_size: tf.Tensor
  packed: tf.Tensor
  scan: tf.Tensor


class _PngChunks(NamedTuple):
  """Header fields from the chunks before a position; `pixels`: whether there are pixels, bool."""

  position: tf.Tensor
  pixels: tf.Tensor
  alpha: tf.Tensor
  profile: tf.Tensor
  profile_size: tf.Tensor
  profiles: tf.Tensor
  other_colours: tf.Tensor
  exif: tf.Tensor
  xmp: tf.Tensor
  xmp_size: tf.Tensor
  packed: tf.Tensor


def png_header(octets: tf.Tensor, end: tf.Tensor) -> PictureHeader:
  """Header of a PNG file (ISO/IEC 15948), which has chunks of length, type, data and checksum.

  Args:
    octets: [n] uint8, the file followed by at least one zero.
    end: scalar int64, size of the file.
  """

  def has_more(found):
    return (found.position < end) & ~_is_type(octets, found.position, b"IEND")

  zero, no, colour = tf.constant(0, tf.int64), tf.constant(False), number(octets, 25, 1)
  start = _PngChunks(zero + len(PNG), no, colour & 4 > 0, *[zero] * 3, no, *[zero] * 3, no)
  (found,) = tf.while_loop(
    has_more,
    lambda found: (_with_chunk(octets, end, found),),
    (start,),
    maximum_iterations=_MAX_SEGMENTS,
  )
  height, width, depth = (number(octets, at, size) for at, size in ((20, 4), (16, 4), (24, 1)))
  return PictureHeader(
    # Chunks beyond the limit are not read and may contain an orientation, so the size is unknown.
    *(tf.where(has_more(found), zero, height), width, depth, zero + 3, found.alpha),
    *(found.profile, found.profile_size, found.profiles > 1, found.other_colours),
    *(found.exif, found.xmp, found.xmp_size, found.packed, zero),
  )


def _is_type(octets, position, *names):
  kind = number(octets, position + 4, 4)
  return tf.reduce_any(kind == [int.from_bytes(name, "big") for name in names])


def _behind(octets, position):
  """Position behind a chunk of PNG."""
  return position + 12 + number(octets, position, 4)


def _with_chunk(octets, end, found):
  """Adds the next chunk of PNG, or all chunks of pixels, which are consecutive."""
  at, size = found.position, number(octets, found.position, 4)
  body = at + 8
  is_pixels = _is_type(octets, at, b"IDAT") & ~found.pixels
  behind_pixels = tf.while_loop(
    lambda place: is_pixels & (place < end) & _is_type(octets, place, b"IDAT"),
    lambda place: (_behind(octets, place),),
    (at,),
    maximum_iterations=_MAX_PARTS,
  )[0]
  is_profile = _is_type(octets, at, b"iCCP") & ~found.pixels
  is_text = _is_type(octets, at, b"tEXt", b"zTXt", b"iTXt") & (size < png.LONGEST_TEXT)
  is_xmp = is_text & matches(octets, body, _XMP_OF_PNG)
  # After the keyword, iTXt has a flag, which is 1 for compressed text.
  flag = number(octets, body + len(_XMP_OF_PNG), 1)
  is_packed = _is_type(octets, at, b"zTXt") | (_is_type(octets, at, b"iTXt") & (flag == 1))
  return _PngChunks(
    position=tf.where(is_pixels, behind_pixels, _behind(octets, at)),
    pixels=found.pixels | is_pixels,
    alpha=found.alpha | _is_type(octets, at, b"tRNS"),
    profile=tf.where(is_profile, body, found.profile),
    profile_size=tf.where(is_profile, size, found.profile_size),
    profiles=found.profiles + tf.cast(is_profile, tf.int64),
    other_colours=found.other_colours | (_declares_other_colours(octets, at) & ~found.pixels),
    exif=tf.where(_is_type(octets, at, b"eXIf"), body, found.exif),
    xmp=tf.where(is_xmp, body, found.xmp),
    xmp_size=tf.where(is_xmp, size, found.xmp_size),
    packed=found.packed | (is_xmp & is_packed) | (is_text & matches(octets, body, _EXIF_IN_TEXT)),
  )


def _declares_other_colours(octets, position):
  """Whether a chunk of PNG declares colours other than sRGB.

  The chunk sRGB has priority over some of these chunks, but a file with both contradicts itself.
  """

  def is_near(*expected, tolerance):
    places = position + 8 + 4 * tf.range(len(expected), dtype=tf.int64)
    return tf.reduce_all(tf.abs(number(octets, places, 4) - expected) <= tolerance)

  return (
    (_is_type(octets, position, b"cICP") & ~matches(octets, position + 8, png.SRGB_CODE_POINTS))
    | (
      _is_type(octets, position, b"gAMA") & ~is_near(png.SRGB_GAMMA, tolerance=png.GAMMA_TOLERANCE)
    )
    | (
      _is_type(octets, position, b"cHRM")
      & ~is_near(*png.SRGB_PLACES, tolerance=png.PLACE_TOLERANCE)
    )
  )


def jpeg_header(octets: tf.Tensor, end: tf.Tensor) -> PictureHeader:
  """Header of a JPEG file (ITU-T T.81), which has segments of a marker, a length and data.

  Args:
    octets: [n] uint8, the file followed by at least one zero.
    end: scalar int64, size of the file.
  """

  def marker(position):
    return number(octets, position + 1, 1)

  def more(position, *_):
    return (position < end) & (marker(position) != _START_OF_SCAN)

  def step(position, frame, profile, profile_size, parts, exif, xmp, xmp_size):
    kind, size = marker(position), number(octets, position + 2, 2)
    is_frame = (kind >= 0xC0) & (kind <= 0xCF) & tf.reduce_all(kind != _NO_FRAME)
    is_part = (kind == 0xE2) & matches(octets, position + 4, _ICC[:-2])
    is_profile = is_part & matches(octets, position + 4 + len(_ICC) - 2, _ICC[-2:])
    is_exif = (kind == 0xE1) & matches(octets, position + 4, b"Exif\0\0") & (exif == 0)
    is_xmp = (kind == 0xE1) & matches(octets, position + 4, _XMP_OF_JPEG)
    return (
      position + 2 + size,
      tf.where(is_frame, position + 4, frame),
      tf.where(is_profile, position + 4 + len(_ICC), profile),
      tf.where(is_profile, size - 2 - len(_ICC), profile_size),
      parts + tf.cast(is_part, tf.int64),
      tf.where(is_exif, position + 10, exif),
      tf.where(is_xmp, position + 4, xmp),
      tf.where(is_xmp, size - 2, xmp_size),
    )

  zero, no = tf.constant(0, tf.int64), tf.constant(False)
  state = (zero + 2, *[zero] * 7)
  found = tf.while_loop(more, step, state, maximum_iterations=_MAX_SEGMENTS)
  scan, frame, profile, profile_size, parts, exif, xmp, xmp_size = found
  fields = [number(octets, frame + at, size) for at, size in ((1, 2), (3, 2), (0, 1), (5, 1))]
  # Without a frame the size is unknown.
  fields[0] = tf.where(frame > 0, fields[0], 0)
  more_profile = parts != tf.cast(profile > 0, tf.int64)
  other_colours = (parts == 0) & exif_data.is_adobe_rgb(octets, end, exif)
  colours = profile, profile_size, more_profile, other_colours
  return PictureHeader(*fields, no, *colours, exif, xmp, xmp_size, no, scan)
