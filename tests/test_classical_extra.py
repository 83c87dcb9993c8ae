"""Codecs of the extra `codecs`: declarations in their files, independent decoders, and sizes."""

import io
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from bmshj_minnen import metrics
from bmshj_minnen.evaluation import classical, colours, ffmpeg_codecs, jpeg_encoders
from tests import codecs

_X = codecs.photograph(96, 130)  # 130 is not a multiple of 16.
_REMEDY = r"pip install 'bmshj_minnen\[codecs\]'"


def _codec(name, quality):
  try:
    classical.FORMATS[name].version()
  except ValueError as error:
    pytest.skip(str(error))
  return classical.make(name, quality)


def _decoded_by(decoder, demuxer, data):
  """Planes that FFmpeg's decoder of this name makes, as they are."""
  imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
  command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", demuxer, "-c:v", decoder]
  return subprocess.run(
    [*command, "-i", "-", "-f", "rawvideo", "-"], input=data, capture_output=True, check=True
  ).stdout


@pytest.mark.parametrize("name", [*jpeg_encoders.FORMATS, *ffmpeg_codecs.FORMATS])
def test_more_bytes_are_better_and_the_best_is_good(name):
  points = []
  x = _X[:48, :66]
  form = classical.FORMATS[name]
  for quality in (form.qualities[0], form.qualities[2], form.qualities[-1]):
    codec = _codec(name, quality)
    file = codec.compress(x)
    x_hat = codec.decompress(file)
    assert x_hat.dtype == np.uint8 and x_hat.shape == x.shape
    points.append((len(file), metrics.psnr(x, x_hat)))
  assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(points, points[1:]))
  # A wrong colour matrix or range, or shifted chroma, would stay below.
  assert points[-1][1] > 39


@pytest.mark.parametrize("name", jpeg_encoders.FORMATS)
def test_jpeg_has_its_sampling_and_no_metadata(name):
  file = _codec(name, 50).compress(_X)
  with PIL.Image.open(io.BytesIO(file)) as image:
    assert (image.format, image.size, image.mode) == ("JPEG", (130, 96), "RGB")
    assert not {"exif", "icc_profile", "xmp", "comment"} & set(image.info)
    luma, *chroma = (layer[1:3] for layer in image.layer)
    assert luma == ((1, 1) if name.endswith("444") else (2, 2)) and chroma == [(1, 1)] * 2
    np.testing.assert_array_equal(classical.make(name, 50).decompress(file), np.asarray(image))


def test_mozjpeg_has_flat_tables_and_drops_coefficients():
  codec = _codec("mozjpeg420", 40)
  with PIL.Image.open(io.BytesIO(codec.compress(_X))) as image:
    tables = image.quantization
    x_hat = np.asarray(image)
  assert all(len(set(table)) == 1 for table in tables.values())
  buffer = io.BytesIO()
  PIL.Image.fromarray(_X).save(buffer, "JPEG", qtables=tables, subsampling="4:2:0", optimize=True)
  with PIL.Image.open(buffer) as image:
    rounded = metrics.psnr(_X, np.asarray(image))
  # Without trellis quantization, the PSNR at the same tables would be the same.
  assert len(codec.compress(_X)) < 0.95 * len(buffer.getvalue())
  assert rounded - 1 < metrics.psnr(_X, x_hat) < rounded


def test_jpegxl_is_a_bare_stream_in_its_own_colours():
  codec = _codec("jpegxl", 10)
  file = codec.compress(_X)
  assert file[:2] == b"\xff\x0a"
  assert len(file) < 0.6 * len(_codec("jpeg444", 95).compress(_X))  # An RGB stream is larger.


def test_av1_keeps_all_chroma_in_10_bits_and_says_its_colours():
  codec = _codec("av1", 30)
  file = codec.compress(_X)
  assert file[:2] == b"\x12\x00"  # A temporal delimiter; then the sequence header:
  assert file[2] >> 3 == 1
  bits = "".join(f"{byte:08b}" for byte in file[4 : 4 + file[3]])
  assert bits[:5] == "001" + "1" + "1"  # Profile 1 is 4:4:4; one still picture, reduced header.
  # ... high_bitdepth, a description of the colours: BT.709, sRGB, BT.709, full range.
  assert "1" + "1" + f"{1:08b}{13:08b}{1:08b}" + "1" in bits


def test_av1_is_what_another_decoder_makes_of_it():
  codec = _codec("av1", 30)
  file = codec.compress(_X)
  planes = np.frombuffer(_decoded_by("libaom-av1", "obu", file), "<u2").reshape(3, *_X.shape[:2])
  np.testing.assert_array_equal(codec.decompress(file), colours.from_planes(list(planes)))


def test_vvc_loses_little_more_than_its_chroma():
  codec = _codec("vvc", 4)
  x = _X[:32, :48]
  x_hat = codec.decompress(codec.compress(x))
  planes = colours.to_planes(x, subsampled=True)
  assert metrics.psnr(colours.from_planes(planes), x_hat) > 50
  again = colours.to_planes(x_hat, subsampled=True)
  errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(planes, again)]
  assert max(errors) < 16  # Squares of levels, 0 to 1023.


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 5), (33, 47)])
@pytest.mark.parametrize("name", [*jpeg_encoders.FORMATS, "jpegxl", "av1"])
def test_small_and_odd_sizes(name, height, width):
  form = classical.FORMATS[name]
  codec = _codec(name, form.qualities[-1])
  x = codecs.photograph(64, 64)[:height, :width]
  x_hat = codec.decompress(codec.compress(x))
  assert x_hat.shape == x.shape
  if min(height, width) >= 16:  # JPEG XL is poor at smaller sides.
    assert np.abs(x_hat.astype(int) - x).mean() < 8


def test_vvc_refuses_odd_sizes_in_one_line():
  with pytest.raises(ValueError, match="needs an even height and width"):
    _codec("vvc", 30).compress(_X[:33])


def test_the_same_bytes_whatever_the_number_of_processors():
  for name in ("av1", "vvc"):
    arguments = classical.FORMATS[name].arguments(8, 8, 30)
    assert arguments[arguments.index("-threads") + 1] == "1"
    codec = _codec(name, 40)
    assert codec.compress(_X[:32, :32]) == codec.compress(_X[:32, :32])


@pytest.mark.parametrize("data", [b"", b"nothing"])
def test_damage_costs_one_line(data):
  codec = _codec("av1", 40)
  with pytest.raises(OSError, match="^FFmpeg: [^\n]+$"):
    codec.decompress(data)


def test_versions_name_encoder_and_settings():
  for name in ffmpeg_codecs.FORMATS:
    _codec(name, 30)
    assert " in FFmpeg " in classical.FORMATS[name].version()
  assert classical.FORMATS["av1"].version().startswith("libaom-av1 3.")
  assert "-usage good" in classical.FORMATS["av1"].version()
  assert classical.FORMATS["vvc"].version().startswith("libvvenc 1.")
  assert "-qpa 0" in classical.FORMATS["vvc"].version()


@pytest.mark.parametrize(
  ("name", "module", "text"),
  [
    ("av1", "imageio_ffmpeg", "AV1 needs imageio-ffmpeg"),
    ("vvc", "imageio_ffmpeg", "VVC needs imageio-ffmpeg"),
    ("jpegxl", "imageio_ffmpeg", "JPEG XL needs imageio-ffmpeg"),
    ("jpegli420", "pyjpegli", "jpegli needs pyjpegli"),
    ("mozjpeg420", "pyvips", "MozJPEG needs pyvips"),
  ],
)
def test_what_is_not_installed_is_named(monkeypatch, name, module, text):
  monkeypatch.setitem(sys.modules, module, None)
  with pytest.raises(ValueError, match=f"^{text}: {_REMEDY}$"):
    classical.make(name, 30)


def test_an_ffmpeg_without_the_encoder_is_named(monkeypatch, tmp_path):
  pytest.importorskip("imageio_ffmpeg")
  program = tmp_path / "ffmpeg"
  program.write_text("#!/bin/sh\necho \"Unknown encoder 'libvvenc'\" >&2\nexit 1\n")
  program.chmod(0o755)
  monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
  with pytest.raises(ValueError, match=f"^the FFmpeg at .* has no libvvenc: {_REMEDY}"):
    classical.make("vvc", 30)
