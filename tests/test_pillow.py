"""Compressed files as Pillow reads and writes them."""

import io
import os
import pathlib
import pickle
import subprocess
import sys

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


def test_other_modes_become_rgb(codec):
  grey = _IMAGE.convert("L")
  expected = codec.compress(np.repeat(np.asarray(grey)[..., None], 3, -1))
  assert _saved(grey) == expected
  with pytest.raises(OSError, match="cannot write transparency"):
    _saved(_IMAGE.convert("RGBA"))


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
  # A BMP of so many bytes that it begins like a compressed file.
  bmp = io.BytesIO()
  _IMAGE.save(bmp, "BMP")
  disguised = b"BMM\x01\0\0\0\0\0\0" + bmp.getvalue()[10:]
  assert PIL.Image.open(io.BytesIO(disguised)).format == "BMP"
