"""The classical codecs: declarations in their files, and decoded pictures."""

import io
import pathlib
import re
import sys

import numpy as np
import PIL.features
import PIL.Image
import pytest

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import classical, line_styles, pillow_codecs
from tests import codecs

_X = codecs.photograph(96, 130)  # 130 is not a multiple of 16.


def _file(name, quality):
  return classical.make(name, quality).compress(_X)


@pytest.mark.parametrize("name", pillow_codecs.FORMATS)
def test_files_decode_to_what_pillow_reads(name):
  form = classical.FORMATS[name]
  file = _file(name, form.qualities[3])
  x_hat = classical.make(name, form.qualities[3]).decompress(file)
  assert x_hat.dtype == np.uint8 and x_hat.shape == _X.shape
  with PIL.Image.open(io.BytesIO(file)) as image:
    assert image.format == form.pillow_format
    assert image.mode == "RGB"
    np.testing.assert_array_equal(x_hat, np.asarray(image))
    assert not {"exif", "icc_profile", "xmp"} & {key for key, value in image.info.items() if value}


@pytest.mark.parametrize("name", pillow_codecs.FORMATS)
def test_more_bytes_are_better_and_the_best_is_good(name):
  form = classical.FORMATS[name]
  points = []
  for quality in sorted(form.qualities)[:: len(form.qualities) // 4]:
    codec = classical.make(name, quality)
    file = codec.compress(_X)
    points.append((len(file), metrics.psnr(_X, codec.decompress(file))))
  points.sort()
  assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(points, points[1:]))
  # Halved chroma, a wrong colour matrix or range, or a lossy wavelet would stay below.
  assert points[-1][1] > (36 if name in ("jpeg420", "webp") else 39)


def test_every_codec_has_a_title_and_stands_in_the_lists():
  names = set(classical.FORMATS)
  assert set(re.findall(r"^    ([a-z]\w*\d*)  +\S", classical.__doc__, re.M)) - {"name"} == names
  readme = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
  sentence = readme[readme.index("`--codecs` takes") :].partition(", each [set for PSNR]")[0]
  assert set(re.findall(r"`([a-z]+\d*\w*)`", sentence)) - {"codecs"} == names
  titles = [line_styles.appearances([name])[name].title for name in sorted(names)]
  assert not set(titles) & names and len(set(titles)) == len(names)


@pytest.mark.parametrize(("name", "sampling"), [("jpeg420", 0x22), ("jpeg444", 0x11)])
def test_jpeg_sampling(name, sampling):
  file = _file(name, 50)
  # A baseline frame header: length, precision, height, width, 3 components of 3 bytes each.
  start = file.index(b"\xff\xc0")
  assert int.from_bytes(file[start + 5 : start + 7], "big") == _X.shape[0]
  luma, cb, cr = (file[start + 11 + 3 * i] for i in range(3))
  assert (luma, cb, cr) == (sampling, 0x11, 0x11)


def test_jpeg_has_its_own_huffman_codes():
  buffer = io.BytesIO()
  PIL.Image.fromarray(_X).save(buffer, "JPEG", quality=20, subsampling="4:2:0")
  codec = classical.make("jpeg420", 20)
  assert len(codec.compress(_X)) < len(buffer.getvalue())
  np.testing.assert_array_equal(
    codec.decompress(codec.compress(_X)), codec.decompress(buffer.getvalue())
  )


def test_jpeg2000_transforms_and_size():
  file = _file("jpeg2000", 12)
  assert file.startswith(b"\xff\x4f\xff\x51")  # A bare code stream.
  start = file.index(b"\xff\x52")  # Coding style: ..., colour transform, ..., wavelet.
  assert file[start + 8] == 1
  assert file[start + 13] == 0  # The irreversible 9/7.
  assert len(file) == pytest.approx(_X.size / 12, rel=0.05)


def test_jpeg2000_of_either_mode_is_one_curve_and_the_other_fixes_the_quality():
  def point(name, quality, x):
    codec = classical.make(name, quality)
    file = codec.compress(x)
    return len(file), metrics.psnr(x, codec.decompress(file))

  sizes, decibels = zip(*(point("jpeg2000", ratio, _X) for ratio in range(90, 12, -4)))
  for quality in (34, 37, 40):
    size, psnr = point("jpeg2000_psnr", quality, _X)
    assert np.interp(size, sizes, decibels) == pytest.approx(psnr, abs=0.3)
    faint = np.uint8(_X // 4 + 90)
    assert point("jpeg2000_psnr", quality, faint)[1] == pytest.approx(psnr, abs=1)
    assert point("jpeg2000_psnr", quality, faint)[0] < size / 2


def test_avif_keeps_all_chroma():
  file = _file("avif", 40)
  start = file.index(b"av1C") + 4
  assert file[start + 2] & 0b00001100 == 0  # Subsampled neither in x nor in y.


def test_hevc_keeps_all_chroma_and_says_its_colours():
  file = _file("hevc444", 30)
  start = file.index(b"hvcC") + 4
  assert file[start + 16] & 3 == 3  # 4:4:4.
  start = file.index(b"colrnclx") + 8
  assert int.from_bytes(file[start + 4 : start + 6], "big") == 1  # BT.709.
  assert file[start + 6] >> 7 == 1  # Full range.


@pytest.mark.parametrize("name", ["jpeg420", "hevc444"])
def test_the_nearest_file_is_the_nearest(name):
  x = _X[:48, :64]
  low, high = classical.FORMATS[name].limits
  sizes = {q: len(classical.make(name, q).compress(x)) for q in range(low, high + 1)}
  for target in (10, 900, 1500, 10**6):
    quality, file = classical.nearest_in_size(name, x, target)
    assert sizes[quality] == len(file)
    assert abs(len(file) - target) == min(abs(size - target) for size in sizes.values())


def test_wrong_arguments():
  with pytest.raises(ValueError, match="unknown codec 'gif': choose from jpeg420, "):
    classical.make("gif", 1)
  with pytest.raises(ValueError, match="the quality of hevc444 must be in 0..51, not 52"):
    classical.make("hevc444", 52)


def test_what_is_not_installed_is_named(monkeypatch):
  remedy = r"pip install 'bmshj_minnen\[evaluation\]'"
  monkeypatch.setitem(sys.modules, "pillow_heif", None)
  with pytest.raises(ValueError, match=f"hevc444 needs pillow-heif: {remedy}"):
    classical.make("hevc444", 30)
  monkeypatch.setattr(PIL.features, "version", lambda name: None)
  with pytest.raises(ValueError, match=f"this Pillow has no avif: {remedy}"):
    classical.make("avif", 30)
