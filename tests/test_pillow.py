"""Reading and writing compressed files with Pillow."""

import colorsys
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

import bmshj_minnen
import bmshj_minnen.pillow
from bmshj_minnen.format import reading
from bmshj_minnen.model_files import model_directory
from tests import codecs

_PIXELS = codecs.photograph(37, 50)
_IMAGE = PIL.Image.fromarray(_PIXELS)


@pytest.fixture(scope="module")
def codec():
  return bmshj_minnen.load()


def _saved(image=_IMAGE, **options):
  buffer = io.BytesIO()
  image.save(buffer, "TFCI", **options)
  return buffer.getvalue()


def test_importing_it_is_cheap_and_headers_need_no_tensorflow(tmp_path):
  path = tmp_path / "photo.tfci"
  _IMAGE.save(path, quality=37.5)
  code = f"""
import sys, PIL.Image
PIL.Image.init()  # BMP is known before; files of both begin with "BM".
import bmshj_minnen.pillow
with PIL.Image.open({str(path)!r}) as image:
  print(image.format, image.mode, image.size, image.info, image.get_format_mimetype())
assert "tensorflow" not in sys.modules
"""
  root = pathlib.Path(__file__).parent.parent
  environment = {**os.environ, "PYTHONPATH": str(root)}
  output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
  assert output.stderr == b""
  assert output.stdout.decode() == "TFCI RGB (50, 37) {'quality': 37.5} image/x-tfci\n"


@pytest.mark.parametrize("asked", [{}, {"quality": 20}, {"bytes": 800}, {"bpp": 3}, {"psnr": 30}])
def test_files_are_those_of_the_library(codec, asked):
  assert _saved(**asked) == codec.compress(_PIXELS, **asked)


def test_pixels_are_those_of_the_library_however_they_are_asked_for(codec, tmp_path):
  path = tmp_path / "photo.TFCI"
  _IMAGE.save(path)
  expected = codec.decompress(path.read_bytes())
  np.testing.assert_array_equal(np.asarray(PIL.Image.open(path)), expected)
  with open(path, "rb") as file, PIL.Image.open(file) as image:
    assert image.getpixel((3, 5)) == tuple(expected[5, 3])
    np.testing.assert_array_equal(np.asarray(image.crop((1, 2, 30, 20))), expected[2:20, 1:30])
    copy = pickle.loads(pickle.dumps(image))
  np.testing.assert_array_equal(np.asarray(copy), expected)
  with PIL.Image.open(path) as image:
    image.load()
  np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)


def test_a_model_is_loaded_once(monkeypatch):
  data = _saved()
  np.asarray(PIL.Image.open(io.BytesIO(data)))
  for name in ("load", "load_for"):
    monkeypatch.setattr(model_directory, name, lambda *args: pytest.fail("loaded again"))
  assert _saved() == data
  np.asarray(PIL.Image.open(io.BytesIO(data)))


def test_metadata_travel():
  exif = PIL.Image.Exif()
  exif[0x010F] = "Maker"
  for given in (exif, exif.tobytes()):
    image = PIL.Image.open(io.BytesIO(_saved(exif=given, xmp=b"<x/>")))
    assert dict(image.getexif()) == {0x010F: "Maker"}
    assert image.info["xmp"] == b"<x/>"
  header, _ = reading.parse_intact(_saved(exif=exif))
  assert header.exif == exif.tobytes()[6:]


class _Recorder:
  """A codec that records its input, and writes the same file for all."""

  def __init__(self, data):
    self._data = data

  def compress(self, image):
    self.pixels = np.asarray(image)
    return self._data


def _lab(pixels):
  """Converts sRGB to CIELAB relative to D50 in TIFF's bytes: L* in 0..255, a* and b* signed."""
  v = pixels / 255
  linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
  to_xyz = [[0.43607, 0.38506, 0.14308], [0.22250, 0.71688, 0.06062], [0.01393, 0.09710, 0.71417]]
  ratio = linear @ np.transpose(to_xyz) / [0.96422, 1, 0.82521]
  x, y, z = np.moveaxis(np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116), -1, 0)
  return np.stack([(116 * y - 16) * 2.55, 500 * (x - y), 200 * (y - z)], -1)


def _ycbcr(pixels):
  """Converts sRGB to YCbCr as in JFIF."""
  to_luma = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
  return pixels @ np.transpose(to_luma) + [0, 128, 128]


def _hsv(pixels):
  hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels.reshape(-1, 3) / 255]
  return 255 * np.reshape(hsv, pixels.shape)


_GREY = _PIXELS[..., 1]
_OPAQUE = np.full_like(_GREY, 255)
_WIDE = _GREY.astype(np.uint32) * 257 + _PIXELS[..., 0] % 120  # Rounds to the same 8 bits.
_WIDE = np.minimum(_WIDE, 65535)
_OF_GREY = {
  "L": _GREY,
  "LA": np.dstack([_GREY, _OPAQUE]),
  "La": np.dstack([_GREY, _OPAQUE]),
  "I;16": _WIDE.astype("<u2"),
  "I;16L": _WIDE.astype("<u2"),
  "I;16B": _WIDE.astype(">u2"),
  "I;16N": _WIDE.astype("=u2"),
}
_OF_COLOUR = {
  "RGB": _PIXELS,
  "RGBA": np.dstack([_PIXELS, _OPAQUE]),
  "RGBa": np.dstack([_PIXELS, _OPAQUE]),
  "RGBX": np.dstack([_PIXELS, 0 * _GREY]),
  "CMYK": np.dstack([255 - _PIXELS, 0 * _GREY]),
  "YCbCr": _ycbcr(_PIXELS),
  "HSV": _hsv(_PIXELS),
  "LAB": _lab(_PIXELS),
}
_PALETTE = np.random.default_rng(0).integers(0, 256, [256, 3], np.uint8)
_OF_PALETTE = {"P": _GREY, "PA": np.dstack([_GREY, _OPAQUE])}
_TOLERANCE = {"YCbCr": 2, "HSV": 2, "LAB": 6}  # Levels; these modes have fewer colours than RGB.


def _image_of(mode):
  """An image made from numbers, without Pillow's conversions, and its sRGB colours."""
  size = _GREY.shape[::-1]
  if mode == "1":
    bits = np.packbits(_GREY > 99, 1).tobytes()
    return PIL.Image.frombytes("1", size, bits), np.dstack(3 * [(_GREY > 99) * 255])
  expected = np.dstack(3 * [_GREY]) if mode in _OF_GREY else _PIXELS
  levels = {**_OF_GREY, **_OF_COLOUR, **_OF_PALETTE}[mode]
  levels = (
    np.round(levels).astype(np.int16).astype(np.uint8) if levels.dtype == np.float64 else levels
  )
  image = PIL.Image.frombytes(mode, size, levels.tobytes())
  if mode in _OF_PALETTE:
    image.putpalette(_PALETTE.tobytes())
    expected = _PALETTE[_GREY]
  return image, expected


@pytest.mark.parametrize("mode", PIL.Image.MODES)
def test_every_mode_is_written_as_the_colours_that_it_means_or_refused(mode, codec, caplog):
  recorder = _Recorder(codec.compress(_PIXELS))
  if mode in ("I", "F"):  # Their range is unknown.
    image = PIL.Image.fromarray(_WIDE.astype({"I": np.int32, "F": np.float32}[mode]))
    assert image.mode == mode
    with pytest.raises(OSError, match=f"^cannot write mode {mode} as TFCI: scale it to 0..255.*"):
      _saved(image)
    # The remedy in the message.
    remedy = PIL.Image.fromarray(np.asarray(image) / np.float32(257)).convert("L")
    _saved(remedy, codec=recorder)
    assert np.abs(recorder.pixels[..., 0].astype(int) - _GREY).max() <= 1
    return
  image, expected = _image_of(mode)
  _saved(image, codec=recorder)
  assert recorder.pixels.dtype == np.uint8 and recorder.pixels.shape == expected.shape
  assert np.abs(recorder.pixels.astype(int) - expected).max() <= _TOLERANCE.get(mode, 0)
  assert ("more than 8 bits" in caplog.text) == mode.startswith("I;16")


def test_transparency_is_refused():
  clear = PIL.Image.fromarray(np.where(_GREY > 99, 255, 254).astype(np.uint8))
  images = [PIL.Image.merge("RGBA", (*_IMAGE.split(), clear))]
  images += [images[0].convert(mode) for mode in ("RGBa", "LA", "PA")]
  images += [PIL.Image.merge("LA", (clear, clear)).convert("La")]
  for mode in ("L", "P", "RGB", "I;16"):
    images.append(_image_of(mode)[0])
    images[-1].info["transparency"] = images[-1].getpixel((0, 0))
  for image in images:
    with pytest.raises(OSError, match="^cannot write transparency as TFCI: lay it on a colour"):
      _saved(image)


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF", "PNG"])
def test_an_opened_picture_that_lacks_pixels_is_refused(codec, image_format, tmp_path):
  pixels = codecs.photograph(48, 40)
  buffer = io.BytesIO()
  PIL.Image.fromarray(pixels).save(buffer, image_format)
  content = buffer.getvalue()
  if image_format == "JPEG":
    cut = content[: len(content) - 99].rstrip(b"\xff") + b"\xff\xd9"
  elif image_format == "TIFF":
    cut = content.replace(struct.pack("<HHII", 257, 4, 1, 48), struct.pack("<HHII", 257, 4, 1, 60))
  else:
    header = struct.pack(">IIBBBBB", 40, 60, 8, 2, 0, 0, 0)
    cut = content[:16] + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + content[33:]
  (tmp_path / "whole").write_bytes(content)
  (tmp_path / "cut").write_bytes(cut)
  with PIL.Image.open(tmp_path / "whole") as image:
    image.save(tmp_path / "whole.tfci", codec=codec)
  for target in (tmp_path / "cut.tfci", io.BytesIO()):
    with PIL.Image.open(tmp_path / "cut") as image:
      with pytest.raises(OSError, match="^/.*cut: not a readable image .truncated[^\n]*$"):
        image.save(target, "TFCI", codec=codec)
  assert not (tmp_path / "cut.tfci").exists()
  with PIL.Image.open(io.BytesIO(cut)) as image:
    image.draft("L", (10, 10))
    image.load()  # Pixels that Pillow has decoded are the caller's.
    image.save(tmp_path / "own.tfci", codec=codec)


def test_an_array_that_imageio_writes_is_rounded_or_refused(codec, tmp_path):
  imageio = pytest.importorskip("imageio.v3")
  imageio.imwrite(tmp_path / "a.tfci", np.uint16(_WIDE))
  assert (tmp_path / "a.tfci").read_bytes() == codec.compress(np.dstack(3 * [_GREY]))
  for kind in (np.int32, np.float32):
    with pytest.raises(OSError, match="^cannot write mode . as TFCI"):
      imageio.imwrite(tmp_path / "b.tfci", _WIDE.astype(kind))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"save_all": True}, "TFCI holds one picture: leave out save_all and append_images"),
    ({"append_images": [_IMAGE]}, "TFCI holds one picture: leave out save_all and append_images"),
    ({"quality": "30"}, "quality must be a number, not '30'"),
    ({"bytes": "4000"}, "bytes must be a number, not '4000'"),
    (
      {"bp": 1},
      "TFCI has no option bp: it takes quality, bytes, bpp, psnr, effort, exif, xmp,",
    ),
    ({"exif": "x"}, "exif must be bytes or a PIL.Image.Exif, not 'x'"),
    ({"codec": "joint-mse"}, "codec must be a Codec, not 'joint-mse'"),
    ({"quality": float("nan")}, "the quality must be 1 to 100, whole or with a half, not nan"),
    ({"psnr": float("nan")}, "the target psnr must be above 0, not nan"),
    ({"quality": 30, "bpp": 1}, "give either a quality or a target"),
    ({"psnr": 99}, "99 dB are too much: the highest quality gives"),
    ({"bytes": 9}, "9 bytes are too few: the lowest quality takes"),
  ],
)
def test_wrong_options_cost_one_line_and_no_file(options, message, tmp_path):
  path, image = tmp_path / "only_copy.tfci", _IMAGE.crop((0, 0, 16, 16))
  image.save(path)
  before = path.read_bytes()
  with PIL.Image.open(path) as own:
    for source, target in (
      (image, path),
      (own, os.fsencode(path)),
      (own, str(tmp_path / "b.tfci")),
    ):
      with pytest.raises(ValueError) as caught:
        source.save(target, **options)
      assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
  assert os.listdir(tmp_path) == ["only_copy.tfci"] and path.read_bytes() == before


def test_files_appear_whole_and_other_formats_are_left_to_pillow(tmp_path, monkeypatch):
  path, seen = tmp_path / "photo.tfci", []

  class _Observer(_Recorder):
    def compress(self, image):
      seen.append(path.read_bytes())
      return super().compress(image)

  path.write_bytes(b"not lost before there is a new one")
  _IMAGE.save(path, codec=_Observer(b"new"))
  assert seen == [b"not lost before there is a new one"] and path.read_bytes() == b"new"
  _IMAGE.save(tmp_path / "a.png")
  _IMAGE.save(tmp_path / "named_oddly", "png")
  assert (tmp_path / "a.png").read_bytes() == (tmp_path / "named_oddly").read_bytes()
  np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "a.png")), _PIXELS)
  monkeypatch.setattr(os, "access", lambda path, mode: False)  # Root would have access.
  with pytest.raises(PermissionError, match=r"photo\.tfci"):
    _IMAGE.save(path, codec=_Observer(b"newer"))
  assert path.read_bytes() == b"new"


def test_profiles_are_applied_and_broken_ones_told(codec, caplog):
  swapped = PIL.Image.fromarray(_PIXELS[..., ::-1].copy())
  profile = bytearray(PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes())
  red, blue = (profile.index(tag, 132) for tag in (b"rXYZ", b"bXYZ"))  # In the table of tags.
  profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
  recorder = _Recorder(codec.compress(_PIXELS))
  _saved(swapped, codec=recorder, icc_profile=bytes(profile))
  assert np.abs(recorder.pixels.astype(int) - _PIXELS).max() <= 2
  assert "icc_profile" not in swapped.info
  swapped.info["icc_profile"] = bytes(profile)
  _saved(swapped, codec=recorder)
  assert np.abs(recorder.pixels.astype(int) - _PIXELS).max() <= 2
  assert caplog.text == ""
  _saved(icc_profile=b"broken", codec=recorder)
  np.testing.assert_array_equal(recorder.pixels, _PIXELS)
  assert "colour profile is broken" in caplog.text


def test_models_of_ones_own_are_used_if_they_are_named(tmp_path):
  own, _ = codecs.make_codec("joint", tmp_path)
  data = _saved(codec=own)
  assert data == own.compress(_PIXELS)
  with pytest.raises(ValueError, match="no shipped model"):
    np.asarray(PIL.Image.open(io.BytesIO(data)))
  bmshj_minnen.pillow.use(own)
  pixels = np.asarray(PIL.Image.open(io.BytesIO(data)))
  np.testing.assert_array_equal(pixels, own.decompress(data))


def test_broken_files_say_what_is_wrong_and_others_are_left_to_pillow(codec):
  data = codec.compress(_PIXELS)
  for bad, match in [
    (data[:-1], "truncated"),
    (data[:-1] + bytes([data[-1] ^ 1]), "wrong checksum"),
    (data[:9], "truncated header"),
  ]:
    with pytest.raises(OSError, match=match):
      PIL.Image.open(io.BytesIO(bad))
  # A BMP whose size makes it begin like a compressed file.
  bmp = io.BytesIO()
  _IMAGE.save(bmp, "BMP")
  disguised = data[:4] + bytes(6) + bmp.getvalue()[10:]
  assert PIL.Image.open(io.BytesIO(disguised)).format == "BMP"
