"""Served models read PNG and JPEG like the programs, or refuse them."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import tensorflow as tf

from bmshj_minnen.images import image_files
from experiments.reliability import icc_files, judging, mutated_profiles
from tests import test_serving

_PICTURE = judging.picture()[:20, :30]
_XMP = b'<x:xmpmeta>\xff<rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
_CURVE = icc_files.para(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_SRGB = icc_files.matrix_profile(icc_files.SRGB, [_CURVE] * 3)


@pytest.fixture(scope="module")
def read():
  return test_serving.reader()


def _saved(file_format, **options):
  buffer = io.BytesIO()
  PIL.Image.fromarray(_PICTURE).save(buffer, file_format, **options)
  return buffer.getvalue()


def _chunk(name, body):
  return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(*chunks, behind=(), parts=1):
  """A PNG file with chunks before and behind its pixels, which may have several parts."""
  content = _saved("PNG")
  start, end = content.index(b"IDAT") - 4, len(content) - 12
  pixels = content[start + 8 : end - 4]
  step = -(-len(pixels) // parts)
  split = [_chunk(b"IDAT", pixels[at : at + step]) for at in range(0, len(pixels), step)]
  return content[:start] + b"".join([*chunks, *split, *behind]) + content[end:]


def _exif(orientation):
  exif = PIL.Image.Exif()
  exif[0x010F] = "maker"
  if orientation:
    exif[0x0112] = orientation
  return exif.tobytes()


_EXIF = _chunk(b"eXIf", _exif(8)[6:])
_TEXT = b"XML:com.adobe.xmp\0"
_XMP_CHUNK = _chunk(b"iTXt", _TEXT + bytes(4) + _XMP)
_NO_TURN = _chunk(b"eXIf", _exif(None)[6:])
_LONG_EXIF = _chunk(b"eXIf", _exif(8)[6:] + bytes(2**17))


_SCANS = ({}, {"progressive": True}, {"restart_marker_rows": 1}, {"exif": _exif(6)})


def _cut(**options):
  """A JPEG file whose last scan ends early, in front of the end marker."""
  content = _saved("JPEG", **options)
  size = len(content) - (len(content) - content.rfind(b"\xff\xda")) // 3
  return content[:size].rstrip(b"\xff") + b"\xff\xd9"


def _damaged(chunk):
  return chunk[:-1] + bytes([chunk[-1] ^ 1])


_PROFILE = _chunk(b"iCCP", b"a\0\0" + zlib.compress(_SRGB))


@pytest.mark.parametrize(
  "content",
  [
    _saved("JPEG", xmp=_XMP),
    _saved("JPEG", xmp=_XMP, exif=_exif(None)),
    _saved("JPEG", xmp=_XMP, exif=_exif(3)),
    _saved("JPEG", xmp=b"<tiff:Orientation>7</tiff:Orientation>"),
    _saved("JPEG", xmp=b"<x:xmpmeta/>"),
    *[_saved("JPEG", **options) + b"behind it" for options in _SCANS],
    _png(_XMP_CHUNK),
    _png(_NO_TURN, _XMP_CHUNK),
    _png(_EXIF, _XMP_CHUNK),
    _png(_chunk(b"tEXt", _TEXT + _XMP)),
    _png(behind=[_XMP_CHUNK]),
    _png(behind=[_EXIF]),
    _png(_PROFILE, behind=[_EXIF], parts=40),
    _png(_PROFILE),
    _png(_LONG_EXIF),
    _png(_damaged(_EXIF), _NO_TURN),
  ],
)
def test_orientations_count_wherever_they_stand(read, content):
  np.testing.assert_array_equal(
    read(tf.constant(content)), image_files.read_image("x", content=content, note=pytest.fail)
  )


def _packed_exif():
  lines = b"\nexif\n%8d\n" % len(_exif(6)) + _exif(6).hex().encode()
  return _chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines))


@pytest.mark.parametrize(
  "content, words",
  [
    (_png(_packed_exif()), "compressed text"),
    (_png(_chunk(b"zTXt", _TEXT + b"\0" + zlib.compress(_XMP))), "compressed text"),
    (_png(_chunk(b"iTXt", _TEXT + b"\1\0\0\0" + zlib.compress(_XMP))), "compressed text"),
    (_png(_PROFILE, _PROFILE), "profile"),
    (_png(_chunk(b"sRGB", b"\0"), _chunk(b"gAMA", struct.pack(">I", 100000))), "profile"),
    (_png(_PROFILE, _chunk(b"gAMA", struct.pack(">I", 100000))), "profile"),
    (
      _saved("JPEG", icc_profile=_SRGB.replace(b"wtpt", b"A2B1")),
      "profile",
    ),  # The table would count, not the matrix.
    # The programs read these without the damaged part.
    (_png(_damaged(_EXIF)), "damaged metadata"),
    (_png(_NO_TURN, behind=[_damaged(_XMP_CHUNK)]), "damaged metadata"),
    (_png(_damaged(_LONG_EXIF)), "damaged metadata"),
    (_png(behind=[b"\xff" * 4 + _EXIF[4:]]), "damaged"),
    (_saved("JPEG", progressive=True)[:-2], "damaged"),
    *[(_cut(**options), "pixels end early") for options in _SCANS],
    # Too many chunks, behind which an orientation might follow.
    (_png(behind=[_chunk(b"tIME", bytes(7))] * 2000), "damaged header"),
  ],
)
def test_files_that_a_graph_cannot_read_alike_are_refused(read, content, words):
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    read(tf.constant(content))


def test_the_programs_ignore_damaged_metadata():
  for chunk in (_damaged(_EXIF), _damaged(_XMP_CHUNK)):
    np.testing.assert_array_equal(image_files.read_image("x", content=_png(chunk)), _PICTURE)


def test_damaged_profiles_are_refused_or_read_alike(read):
  for index in range(120):
    case = mutated_profiles.case(index)
    if case.container in ("PNG", "JPEG"):
      assert judging.served_outcome(read, case) != judging.SERVED[2], (index, case.kind)
