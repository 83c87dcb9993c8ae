"""Pictures of all formats that `decompress` writes, and the flags that choose a format."""

import functools
import io
import re

import numpy as np
import PIL.Image
import pytest
from absl import flags

import bmshj_minnen
from bmshj_minnen import metrics
from bmshj_minnen.command_line.picture_flags import PictureFlags
from bmshj_minnen.images import encoding
from tests import codecs

_PIXELS = codecs.photograph(60, 90)


def _opened(data):
  image = PIL.Image.open(io.BytesIO(data))
  image.load()
  return image


@pytest.mark.parametrize("suffix", [*encoding.LOSSLESS, *encoding.LOSSY])
def test_a_suffix_gives_its_format_and_the_picture(suffix):
  image_format = encoding.format_of(f"a.b/picture{suffix.upper()}")
  image = _opened(encoding.encode(_PIXELS, image_format))
  assert image.format == image_format and "icc_profile" not in image.info
  if suffix in encoding.LOSSLESS:
    np.testing.assert_array_equal(np.asarray(image), _PIXELS)
  else:
    assert 33 < metrics.psnr(_PIXELS, np.asarray(image.convert("RGB"))) < 70


@pytest.mark.parametrize("image_format", encoding.LOSSY.values())
def test_quality_buys_bytes_and_pixels(image_format):
  files = [encoding.encode(_PIXELS, image_format, quality) for quality in (30, 80, 95, 100)]
  assert files[2] == encoding.encode(_PIXELS, image_format)
  sizes = list(map(len, files))
  errors = [-metrics.psnr(_PIXELS, np.asarray(_opened(data).convert("RGB"))) for data in files]
  assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_without_a_suffix_it_is_a_png_and_unknown_ones_are_told():
  assert encoding.format_of("/dev/stdout") == encoding.format_of(".hidden") == "PNG"
  known = ".png, .ppm, .bmp, .tif, .tiff, .jpg, .jpeg, .webp, .avif"
  for path in ("photo.jxl", "photo.tfci"):
    with pytest.raises(ValueError, match=f"^{path}: .* one of {re.escape(known)}$"):
      encoding.format_of(path)


def test_other_arrays_than_images_are_refused(tmp_path):
  image = np.zeros((4, 5, 3), np.uint8)
  for other in (image[..., 0], image[..., :2], image.astype(float), np.dstack([image, image])):
    with pytest.raises(ValueError, match=r"expected a uint8 image \[H, W, 3\], not "):
      bmshj_minnen.write_image(str(tmp_path / "x.png"), other)
  for other in (None, image.tolist()):
    with pytest.raises(TypeError, match="not a (NoneType|list)"):
      bmshj_minnen.write_image(str(tmp_path / "x.png"), other)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("image_format, limit", [("WEBP", 16383), ("JPEG", 65500)])
def test_formats_that_are_too_small_for_a_picture_say_so(image_format, limit):
  row = np.zeros((1, limit, 3), np.uint8)
  assert _opened(encoding.encode(row, image_format)).width == limit
  with pytest.raises(ValueError, match=f"^1x{limit + 1} is too large for {image_format}: at most"):
    encoding.encode(np.zeros((limit + 1, 1, 3), np.uint8), image_format)


@pytest.fixture
def picture_flags(monkeypatch):
  """Arguments -> `PictureFlags`, separate from the flags of programs."""

  def parse(*arguments):
    values = flags.FlagValues()
    for name in ("DEFINE_enum", "DEFINE_integer"):
      define = getattr(flags, name)
      monkeypatch.setattr(flags, name, functools.partial(define, flag_values=values))
    result = PictureFlags()
    values(["decompress", *arguments])
    return result

  return parse


@pytest.mark.parametrize(
  "arguments, target, expected",
  [
    ([], "x.png", "PNG"),
    ([], "x.TIF", "TIFF"),
    ([], "-", "PNG"),
    ([], None, "PNG"),
    (["--output_quality=80"], "x.webp", "WEBP"),
    (["--format=jpg", "--output_quality=80"], "-", "JPEG"),
    (["--format=avif"], None, "AVIF"),
    (["--format=jpg"], "x.jpeg", "JPEG"),
    (["--format=jpg"], "/dev/stdout", "JPEG"),
  ],
)
def test_flags_and_names_give_a_format(picture_flags, arguments, target, expected):
  parsed = picture_flags(*arguments)
  assert parsed.format_of(target) == expected
  if target is None:
    assert encoding.format_of(f"x{parsed.suffix}") == expected


@pytest.mark.parametrize(
  "arguments, target, match",
  [
    ([], "x.jxl", "x.jxl: pictures are written as one of .png"),
    (["--format=jpg"], "x.png", "x.png is not of --format=jpg: leave that out"),
    (["--output_quality=80"], "x.png", "is for .jpg, .jpeg, .webp, .avif: PNG is written without"),
    (["--output_quality=80"], None, "PNG is written without loss"),
  ],
)
def test_contradictions_are_told(picture_flags, arguments, target, match):
  with pytest.raises(ValueError, match=match):
    picture_flags(*arguments).format_of(target)
