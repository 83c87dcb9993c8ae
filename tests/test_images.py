"""Files <-> arrays: reading, refusing, and writing whole files only."""

import functools
import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import tifffile

from bmshj_minnen.images import image_files


@pytest.fixture
def rgb():
  return np.random.default_rng(0).integers(0, 256, [5, 7, 3], dtype=np.uint8)


def _refuse(path, words):
  """Checks that `read_image` names the file and the cause in one line."""
  with pytest.raises(image_files.ImageError) as caught:
    image_files.read_image(str(path))
  message = str(caught.value)
  assert "\n" not in message
  assert str(path) in message
  assert words in message


def _read_silently(path):
  """Reads a picture without any note."""
  return image_files.read_image(str(path), note=pytest.fail)


# Reading.


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".ppm", ".bmp", ".tif", ".tiff", ""])
def test_what_is_written_is_read_bit_for_bit(tmp_path, rgb, suffix):
  path = str(tmp_path / f"image{suffix}")
  image_files.write_image(path, rgb)
  result = image_files.read_image(path)
  assert result.dtype == np.uint8
  np.testing.assert_array_equal(result, rgb)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_sides_of_one_pixel(tmp_path, shape):
  image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
  image_files.write_image(str(tmp_path / "image.png"), image)
  np.testing.assert_array_equal(image_files.read_image(str(tmp_path / "image.png")), image)


@pytest.mark.parametrize(
  "suffix, file_format",
  [(".png", "PNG"), (".ppm", "PPM"), (".BMP", "BMP"), (".tiff", "TIFF"), ("", "PNG")],
)
def test_suffix_chooses_a_lossless_format(tmp_path, rgb, suffix, file_format):
  path = str(tmp_path / f"image{suffix}")
  image_files.write_image(path, rgb)
  with PIL.Image.open(path) as image:
    assert image.format == file_format


@pytest.mark.parametrize("suffix", [".jpg", ".WEBP", ".xyz"])
def test_nothing_is_written_under_the_suffix_of_another_format(tmp_path, rgb, suffix):
  with pytest.raises(ValueError, match="without loss, with one of .png, .ppm, .bmp, .tif, .tiff$"):
    image_files.write_image(str(tmp_path / f"image{suffix}"), rgb)
  assert os.listdir(tmp_path) == []


def test_grey_is_repeated_in_three_channels(tmp_path, rgb):
  PIL.Image.fromarray(rgb[..., 0]).save(tmp_path / "grey.png")
  result = image_files.read_image(str(tmp_path / "grey.png"))
  np.testing.assert_array_equal(result, np.repeat(rgb[..., :1], 3, -1))


def test_black_and_white_is_0_and_255(tmp_path):
  bits = np.array([[True, False, True]])
  PIL.Image.fromarray(bits).save(tmp_path / "bits.png")
  result = image_files.read_image(str(tmp_path / "bits.png"))
  np.testing.assert_array_equal(result, np.repeat(255 * bits[..., None], 3, -1))


def test_palette_is_looked_up(tmp_path):
  indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
  colours = np.array([[10, 20, 30], [40, 50, 60], [250, 0, 5]], np.uint8)
  image = PIL.Image.fromarray(indices, mode="P")
  image.putpalette(colours.tobytes())
  image.save(tmp_path / "palette.png")
  with PIL.Image.open(tmp_path / "palette.png") as saved:
    assert saved.mode == "P"
  result = image_files.read_image(str(tmp_path / "palette.png"))
  np.testing.assert_array_equal(result, colours[indices])


@pytest.mark.parametrize(
  ("file_format", "options"),
  [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {})],
)
def test_lossless_formats_give_the_pixels(tmp_path, rgb, file_format, options):
  PIL.Image.fromarray(rgb).save(tmp_path / "image", file_format, **options)
  np.testing.assert_array_equal(_read_silently(tmp_path / "image"), rgb)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
def test_lossy_formats_give_nearly_the_pixels(tmp_path, file_format):
  ramp = np.linspace(20, 220, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
  PIL.Image.fromarray(ramp).save(tmp_path / "image", file_format, quality=95)
  np.testing.assert_allclose(_read_silently(tmp_path / "image"), ramp, atol=8)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_of_several_pictures_is_read_and_that_is_said(tmp_path, file_format):
  frames = [PIL.Image.new("RGB", (5, 4), colour) for colour in ("red", "blue", "lime")]
  options = {"lossless": True} if file_format == "WEBP" else {}
  frames[0].save(
    tmp_path / "image", file_format, save_all=True, append_images=frames[1:], **options
  )
  notes = []
  result = image_files.read_image(str(tmp_path / "image"), note=notes.append)
  np.testing.assert_array_equal(result, np.broadcast_to([255, 0, 0], (4, 5, 3)))
  assert len(notes) == 1 and "only the first" in notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_orientation_is_applied(tmp_path, rgb, suffix, orientation):
  """EXIF defines the values by the position of the stored row 0 and column 0."""
  upright = {
    1: rgb,
    2: rgb[:, ::-1],
    3: rgb[::-1, ::-1],
    4: rgb[::-1],
    5: rgb.swapaxes(0, 1),
    6: rgb.swapaxes(0, 1)[:, ::-1],
    7: rgb.swapaxes(0, 1)[::-1, ::-1],
    8: rgb.swapaxes(0, 1)[::-1],
  }[orientation]
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  path = tmp_path / f"image{suffix}"
  PIL.Image.fromarray(rgb).save(path, exif=exif, **{"lossless": True} if suffix == ".webp" else {})
  np.testing.assert_array_equal(_read_silently(path), upright)


_XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def _saved(image, file_format, exif_orientation=None, xmp=_XMP):
  """A file with XMP, and EXIF with or without an orientation."""
  exif, buffer = PIL.Image.Exif(), io.BytesIO()
  exif[0x010F] = "maker"
  if exif_orientation:
    exif[0x0112] = exif_orientation
  options = {"exif": exif, "xmp": xmp}
  if file_format == "PNG":
    options["pnginfo"] = PIL.PngImagePlugin.PngInfo()
    options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
  if file_format == "TIFF":
    exif[700] = xmp
  PIL.Image.fromarray(image).save(buffer, file_format, lossless=True, **options)
  return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_xmp_counts_where_exif_names_no_orientation(rgb, file_format):
  stored = image_files.read_image("x", content=_saved(rgb, file_format, 1))
  for content, upright in (
    (_saved(rgb, file_format), np.rot90(stored, -1)),
    (_saved(rgb, file_format, xmp=b"<tiff:Orientation>3</tiff:Orientation>"), stored[::-1, ::-1]),
    (_saved(rgb, file_format, 3), stored[::-1, ::-1]),
    (_saved(rgb, file_format, xmp=b"<x:xmpmeta/>"), stored),
  ):
    np.testing.assert_array_equal(
      image_files.read_image("x", content=content, note=pytest.fail), upright
    )


def test_broken_exif_is_ignored(tmp_path, rgb):
  PIL.Image.fromarray(rgb).save(tmp_path / "image.png", exif=b"Exif\0\0not TIFF at all")
  np.testing.assert_array_equal(image_files.read_image(str(tmp_path / "image.png")), rgb)


# Refusing.


def test_missing_file_is_refused(tmp_path):
  _refuse(tmp_path / "missing.png", "no such file")


def test_folder_is_refused(tmp_path):
  _refuse(tmp_path, "not a readable image")


@pytest.mark.parametrize("content", [b"This is a text\nof two lines.\n", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_refused(tmp_path, content):
  (tmp_path / "text.png").write_bytes(content)
  _refuse(tmp_path / "text.png", "not a readable image")


def test_an_empty_file_is_refused(tmp_path):
  (tmp_path / "empty.png").touch()
  _refuse(tmp_path / "empty.png", "the file is empty")


def test_what_pillow_reads_in_part_or_wrongly_is_refused(tmp_path, rgb):
  save = functools.partial(tifffile.imwrite, photometric="minisblack")
  save(tmp_path / "float.tif", rgb[..., 0].astype(np.float32))
  save(tmp_path / "signed.tif", rgb[..., 0].astype(np.int16))
  save(tmp_path / "long.tif", rgb[..., 0].astype(np.uint32))
  save(tmp_path / "lab.tif", rgb, photometric="cielab")
  planes = rgb.transpose(2, 0, 1).astype(np.uint16)
  save(tmp_path / "planes.tif", planes, photometric="rgb", planarconfig="separate")
  for path in sorted(tmp_path.iterdir()):
    _refuse(path, "convert it to 8-bit RGB first")


def _chunk(name_and_content):
  length, check = len(name_and_content) - 4, zlib.crc32(name_and_content)
  return struct.pack(">I", length) + name_and_content + struct.pack(">I", check)


def test_programs_are_not_run(tmp_path, rgb):
  PIL.Image.fromarray(rgb).save(tmp_path / "image.eps")
  _refuse(tmp_path / "image.eps", "a program")


def test_a_decompression_bomb_is_refused_before_it_goes_off(tmp_path):
  """An empty picture of a gigapixel in 40 bytes."""
  header = b"IHDR" + struct.pack(">IIBBBBB", 32768, 32768, 8, 2, 0, 0, 0)
  (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(header))
  _refuse(tmp_path / "bomb.png", "bomb")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # It warns before it gives up.
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_truncated_files_are_refused(tmp_path, rgb, file_format):
  buffer = io.BytesIO()
  image = PIL.Image.fromarray(rgb)
  (image.convert("P") if file_format == "GIF" else image).save(buffer, file_format)
  data = buffer.getvalue()
  path = tmp_path / "truncated"
  # Half a file is never an image. (The last bytes of some formats do not contain pixels.)
  for length in range(len(data) // 2):
    path.write_bytes(data[:length])
    _refuse(path, "not a readable image")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF"])
def test_damaged_files_give_an_image_or_one_line(tmp_path, rgb, file_format):
  buffer = io.BytesIO()
  exif = PIL.Image.Exif()
  exif[0x0112] = 6
  options = {"exif": exif} if file_format in ("PNG", "JPEG", "WEBP", "TIFF") else {}
  PIL.Image.fromarray(rgb).save(buffer, file_format, **options)
  random = np.random.default_rng(0)
  for _ in range(100):
    data = np.frombuffer(buffer.getvalue(), np.uint8).copy()
    where = random.integers(0, len(data), random.integers(1, 4))
    data[where] = random.integers(0, 256, len(where))
    (tmp_path / "damaged").write_bytes(data.tobytes())
    try:
      image = image_files.read_image(str(tmp_path / "damaged"), alpha="drop", note=lambda _: None)
    except image_files.ImageError as error:
      assert "\n" not in str(error)
    else:
      assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


# Writing is all or nothing.


def test_a_write_to_a_missing_folder_leaves_nothing(tmp_path, rgb):
  with pytest.raises(FileNotFoundError, match="image.png'$"):
    image_files.write_image(str(tmp_path / "missing" / "image.png"), rgb)
  assert os.listdir(tmp_path) == []


def test_an_image_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
  path = tmp_path / "image.png"
  path.write_bytes(b"precious")
  with pytest.raises(ValueError, match="not float64"):
    image_files.write_image(str(path), np.zeros([2, 2, 3], np.float64))
  assert path.read_bytes() == b"precious"
  assert os.listdir(tmp_path) == ["image.png"]
