"""One file of each kind that a folder of photographs may contain, good and bad."""

import io
import pathlib
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageCms
import tifffile

from bmshj_minnen.data import finding
from bmshj_minnen.images import image_files

__all__ = ["BAD", "GOOD", "make_files"]

# Name -> the file's special feature.
GOOD = {
  "rgb.png": "",
  "rgb_jpg.jpg": "",
  "rgb_webp.webp": "",
  "rgb_tif.tif": "LZW",
  "rgb_bmp.bmp": "",
  "one.gif": "one picture",
  "several.gif": "three pictures",
  "grey.png": "",
  "black_and_white.png": "1 bit",
  "palette.png": "",
  "deep.png": "16 bits",
  "deep_grey.tif": "16 bits",
  "deep_tif.tif": "16 bits, deflated",
  "cmyk.jpg": "inks",
  "turned.jpg": "EXIF orientation 6",
  "profile.jpg": "ICC profile with red and green swapped",
  "broken_profile.png": "ICC profile cut off",
  "opaque.png": "alpha of 255 throughout",
  "pixel.png": "1x1",
  "line.png": "3000x1",
  "ünï code.png": "a name with a space",
}
# Name -> words of the error.
BAD = {
  "alpha.png": "--alpha={white,black,drop}",
  "alpha_webp.webp": "--alpha={white,black,drop}",
  "alpha_gif.gif": "--alpha={white,black,drop}",
  "truncated_png.png": "not a readable image",
  "truncated_jpg.jpg": "not a readable image",
  "truncated_webp.webp": "not a readable image",
  "truncated_tif.tif": "not a readable image",
  "truncated_bmp.bmp": "not a readable image",
  "truncated_gif.gif": "not a readable image",
  "flipped.png": "not a readable image",
  "empty.png": "the file is empty",
  "text.png": "unknown format",
  "bomb.png": "decompression bomb",
  "float.tif": "not supported",
  "planes.tif": "not supported",
  "dangling.png": "no such file",
  "too_wide.png": "sides must be 1 to 65536 pixels",
}


def make_files(folder: pathlib.Path) -> None:
  """Writes the files of `GOOD` and `BAD`, and some to be ignored, 96x64 and smaller."""
  pixels = image_files.read_image(finding.bundled_photographs()[0])[100:164, 100:196]
  image = PIL.Image.fromarray(pixels)
  _make_good(folder, image, pixels)
  _make_bad(folder, image, pixels)
  (folder / "notes.txt").write_text("Not taken: a folder may hold anything.\n")
  (folder / "rgb.png.4711.tmp").write_bytes(b"Not taken: left behind by a killed run.")
  (folder / "folder.png").mkdir()


def _make_good(folder, image, pixels):
  for name in ("rgb.png", "rgb_jpg.jpg", "rgb_webp.webp", "rgb_bmp.bmp", "one.gif", "ünï code.png"):
    image.save(folder / name)
  image.save(folder / "rgb_tif.tif", compression="tiff_lzw")
  more = [image.rotate(90), image.rotate(180)]
  image.save(folder / "several.gif", save_all=True, append_images=more)
  for name, mode in (("grey.png", "L"), ("black_and_white.png", "1"), ("palette.png", "P")):
    image.convert(mode).save(folder / name)
  image.convert("CMYK").save(folder / "cmyk.jpg")
  image.convert("RGBA").save(folder / "opaque.png")
  deep = pixels.astype(np.uint16) * 257
  (folder / "deep.png").write_bytes(_png(deep))
  tifffile.imwrite(folder / "deep_tif.tif", deep, photometric="rgb", compression="zlib")
  tifffile.imwrite(folder / "deep_grey.tif", deep[..., 0], photometric="minisblack")
  exif = PIL.Image.Exif()
  exif[0x0112] = 6
  image.save(folder / "turned.jpg", exif=exif)
  profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
  swapped = profile.replace(b"rXYZ", b"swap").replace(b"gXYZ", b"rXYZ").replace(b"swap", b"gXYZ")
  image.save(folder / "profile.jpg", icc_profile=swapped)
  image.save(folder / "broken_profile.png", icc_profile=profile[:200])
  image.crop((0, 0, 1, 1)).save(folder / "pixel.png")
  image.resize((3000, 1)).save(folder / "line.png")


def _make_bad(folder, image, pixels):
  rgba = image.copy()
  rgba.putalpha(image.convert("L"))
  rgba.save(folder / "alpha.png")
  rgba.save(folder / "alpha_webp.webp")
  indices = image.quantize(16)
  indices.save(folder / "alpha_gif.gif", transparency=indices.getpixel((0, 0)))
  for suffix in ("png", "jpg", "webp", "tif", "bmp", "gif"):
    buffer = io.BytesIO()
    image.save(buffer, PIL.Image.registered_extensions()[f".{suffix}"])
    content = buffer.getvalue()
    (folder / f"truncated_{suffix}.{suffix}").write_bytes(content[: len(content) // 2])
    if suffix == "png":
      middle = len(content) // 2
      flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
      (folder / "flipped.png").write_bytes(flipped)
  (folder / "empty.png").touch()
  (folder / "text.png").write_text("This is a text.\n")
  (folder / "bomb.png").write_bytes(_png(np.zeros([1, 1, 3], np.uint16), size=(40000, 40000)))
  tifffile.imwrite(folder / "float.tif", pixels[..., 0] / np.float32(255))
  planes = pixels.transpose(2, 0, 1).astype(np.uint16)
  tifffile.imwrite(folder / "planes.tif", planes, photometric="rgb", planarconfig="separate")
  (folder / "dangling.png").symlink_to("nowhere.png")
  PIL.Image.new("L", (70000, 1)).save(folder / "too_wide.png")


def _png(pixels, size=None):
  """A PNG of [H, W, 3] uint16; `size` is another (width, height) to declare."""

  def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check

  height, width = pixels.shape[:2]
  header = struct.pack(">IIBBBBB", *(size or (width, height)), 16, 2, 0, 0, 0)
  rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
  content = zlib.compress(np.pad(rows, [(0, 0), (1, 0)]).tobytes())
  chunks = [(b"IHDR", header), (b"IDAT", content), (b"IEND", b"")]
  return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)
