"""Files <-> arrays: what is read, what is refused, and that nothing partial is written."""

import io
import os

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from bmshj_minnen import images


@pytest.fixture
def rgb():
  return np.random.default_rng(0).integers(0, 256, [5, 7, 3], dtype=np.uint8)


def _refuse(path, words):
  """`read_image` says in one line that names the file what is wrong."""
  with pytest.raises(images.ImageError) as caught:
    images.read_image(str(path))
  message = str(caught.value)
  assert "\n" not in message
  assert str(path) in message
  assert words in message


# What is read.


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".ppm", ".bmp", ".tif", ".tiff", ".xyz", ""])
def test_what_is_written_is_read_bit_for_bit(tmp_path, rgb, suffix):
  path = str(tmp_path / f"image{suffix}")
  images.write_image(path, rgb)
  result = images.read_image(path)
  assert result.dtype == np.uint8
  np.testing.assert_array_equal(result, rgb)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_sides_of_one_pixel(tmp_path, shape):
  image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
  images.write_image(str(tmp_path / "image.png"), image)
  np.testing.assert_array_equal(images.read_image(str(tmp_path / "image.png")), image)


@pytest.mark.parametrize(
  "suffix, file_format",
  [(".png", "PNG"), (".ppm", "PPM"), (".BMP", "BMP"), (".tiff", "TIFF"), (".jpg", "PNG")],
)
def test_suffix_chooses_a_lossless_format(tmp_path, rgb, suffix, file_format):
  path = str(tmp_path / f"image{suffix}")
  images.write_image(path, rgb)
  with PIL.Image.open(path) as image:
    assert image.format == file_format


def test_grey_is_repeated_in_three_channels(tmp_path, rgb):
  PIL.Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
  result = images.read_image(str(tmp_path / "grey.png"))
  np.testing.assert_array_equal(result, np.repeat(rgb[..., :1], 3, -1))


def test_black_and_white_is_0_and_255(tmp_path):
  bits = np.array([[True, False, True]])
  PIL.Image.fromarray(bits).save(tmp_path / "bits.png")
  result = images.read_image(str(tmp_path / "bits.png"))
  np.testing.assert_array_equal(result, np.repeat(255 * bits[..., None], 3, -1))


def test_palette_is_looked_up(tmp_path):
  indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
  colours = np.array([[10, 20, 30], [40, 50, 60], [250, 0, 5]], np.uint8)
  image = PIL.Image.fromarray(indices, mode="P")
  image.putpalette(colours.tobytes())
  image.save(tmp_path / "palette.png")
  with PIL.Image.open(tmp_path / "palette.png") as saved:
    assert saved.mode == "P"
  result = images.read_image(str(tmp_path / "palette.png"))
  np.testing.assert_array_equal(result, colours[indices])


# What is refused.


def test_alpha_is_refused(tmp_path, rgb):
  PIL.Image.fromarray(rgb).convert("RGBA").save(tmp_path / "rgba.png")
  PIL.Image.fromarray(rgb).convert("LA").save(tmp_path / "la.png")
  PIL.Image.fromarray(rgb).save(tmp_path / "rgb.png", transparency=(0, 0, 0))
  PIL.Image.fromarray(rgb).convert("P").save(tmp_path / "p.png", transparency=0)
  for name in ("rgba.png", "la.png", "rgb.png", "p.png"):
    _refuse(tmp_path / name, "transparency")


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_refused(tmp_path, rgb, channels):
  """Pillow itself turns 16-bit colour into 8 bits without a word."""
  pixels = rgb[..., :channels].astype(np.uint16) * 257
  (tmp_path / "deep.png").write_bytes(tf.io.encode_png(pixels).numpy())
  magic = {1: b"P5", 3: b"P6"}[channels]
  (tmp_path / "deep.ppm").write_bytes(magic + b" 7 5 65535\n" + pixels.astype(">u2").tobytes())
  for name in ("deep.png", "deep.ppm"):
    _refuse(tmp_path / name, "more than 8 bits")


def test_missing_file_is_refused(tmp_path):
  _refuse(tmp_path / "missing.png", "no such file")


def test_folder_is_refused(tmp_path):
  _refuse(tmp_path, "not a readable image")


@pytest.mark.parametrize("content", [b"", b"This is a text\nof two lines.\n", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(tmp_path, content):
  (tmp_path / "text.png").write_bytes(content)
  _refuse(tmp_path / "text.png", "not a readable image")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # It warns before it gives up.
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "BMP", "TIFF", "PPM", "GIF"])
def test_truncated_files_are_refused(tmp_path, rgb, file_format):
  buffer = io.BytesIO()
  image = PIL.Image.fromarray(rgb)
  (image.convert("P") if file_format == "GIF" else image).save(buffer, file_format)
  data = buffer.getvalue()
  path = tmp_path / "truncated"
  # Half a file is never an image. (The last bytes of some formats say nothing about pixels.)
  for length in range(len(data) // 2):
    path.write_bytes(data[:length])
    _refuse(path, "not a readable image")


# Writing is all or nothing.


def test_written_files_replace_older_ones(tmp_path):
  path = tmp_path / "file"
  images.write_atomically(str(path), b"a long first version")
  images.write_atomically(str(path), b"second")
  assert path.read_bytes() == b"second"
  assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / "file"
  path.write_bytes(b"precious")
  with pytest.raises(TypeError):
    images.write_atomically(str(path), "text, which a binary file does not take")
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["file"]


def test_a_failed_rename_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / "file"
  path.write_bytes(b"precious")

  def replace(source, target):
    # All of it is there before it takes the name.
    with open(source, "rb") as file:
      assert file.read() == b"new"
    raise OSError("no space left on device")

  monkeypatch.setattr(os, "replace", replace)
  with pytest.raises(OSError, match="no space left"):
    images.write_atomically(str(path), b"new")
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["file"]


def test_a_write_to_a_missing_folder_leaves_nothing(tmp_path, rgb):
  with pytest.raises(OSError):
    images.write_image(str(tmp_path / "missing" / "image.png"), rgb)
  assert os.listdir(tmp_path) == []


def test_an_image_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
  path = tmp_path / "image.png"
  path.write_bytes(b"precious")
  with pytest.raises(TypeError):
    images.write_image(str(path), np.zeros([2, 2, 3], np.float64))
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["image.png"]
