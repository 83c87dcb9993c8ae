"""Pixels of all kinds become 8-bit sRGB: depth, transparency, colour profiles."""

import struct

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tensorflow as tf
import tifffile

from bmshj_minnen.images import image_files


@pytest.fixture
def rgb():
  return np.random.default_rng(0).integers(0, 256, [5, 7, 3], dtype=np.uint8)


def _read_silently(path):
  """Reads a picture without any note."""
  return image_files.read_image(str(path), note=pytest.fail)


# 16 bits.


def _save_16_bits(path, pixels, kind, orientation=1):
  """Writes [H, W, C] uint16 to a file."""
  height, width, channels = pixels.shape
  if kind == "png":
    path.write_bytes(tf.io.encode_png(pixels).numpy())
  elif kind == "pnm":
    header = f"P{ {1: 5, 3: 6}[channels] } {width} {height} 65535\n".encode()
    path.write_bytes(header + pixels.astype(">u2").tobytes())
  else:
    tifffile.imwrite(
      path,
      pixels if channels > 1 else pixels[..., 0],
      photometric="rgb" if channels > 2 else kind.split("-")[1],
      compression="zlib" if "zip" in kind else None,
      byteorder=">" if "big" in kind else "<",
      extrasamples=["unassalpha"] if channels == 4 else None,
      extratags=[(274, "H", 1, orientation, True)],
    )


@pytest.mark.parametrize(
  ("kind", "channels"),
  [("png", 1), ("png", 2), ("png", 3), ("png", 4), ("pnm", 1), ("pnm", 3)]
  + [(f"tiff-minisblack{how}", c) for how in ("", "-zip", "-big", "-zip-big") for c in (1, 3, 4)]
  + [("tiff-miniswhite", 1), ("tiff-miniswhite-zip", 1)],
)
def test_16_bits_are_rounded_and_that_is_said(tmp_path, kind, channels):
  # All levels, and two more to make it 256 rows.
  levels = np.arange(256 * 257 * channels, dtype=np.uint32).reshape(256, 257, channels) % 65536
  pixels = levels.astype(np.uint16)
  path = tmp_path / "deep"
  orientation = 6 if "zip" in kind else 1
  _save_16_bits(path, pixels, kind, orientation)
  notes = []
  result = image_files.read_image(str(path), alpha="drop", note=notes.append)
  expected = np.round(pixels / 257.0)[..., : 1 if channels < 3 else 3]
  if "white" in kind:
    expected = 255 - expected
  if orientation == 6:
    expected = np.rot90(expected, -1)
  np.testing.assert_array_equal(result, np.broadcast_to(expected, expected.shape[:2] + (3,)))
  assert len(notes) == 1 and "more than 8 bits" in notes[0]


def test_alpha_of_16_bits_is_rounded_too(tmp_path):
  pixels = np.array([[[65535, 0, 0, 65535], [65535, 0, 0, 32768], [0, 0, 0, 100]]], np.uint16)
  _save_16_bits(tmp_path / "deep.png", pixels, "png")
  result = image_files.read_image(str(tmp_path / "deep.png"), alpha="white")
  np.testing.assert_array_equal(result, [[[255, 0, 0], [255, 127, 127], [255, 255, 255]]])


# Transparency.


def _transparent(folder, rgb):
  """Name -> the colours and the opacity of a file, for every kind of transparency."""
  opacity = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
  grey = np.repeat(rgb[..., :1], 3, -1)
  rgba = PIL.Image.fromarray(np.concatenate([rgb, opacity[..., None]], -1))
  rgba.save(folder / "rgba.png")
  rgba.save(folder / "rgba.tif")
  rgba.save(folder / "rgba.webp", lossless=True, exact=True)
  PIL.Image.fromarray(np.stack([rgb[..., 0], opacity], -1)).save(folder / "la.png")
  key = tuple(map(int, rgb[2, 3]))
  PIL.Image.fromarray(rgb).save(folder / "key.png", transparency=key)
  PIL.Image.fromarray(rgb[..., 0]).save(folder / "grey_key.png", transparency=key[0])
  indices = np.arange(35, dtype=np.uint8).reshape(5, 7)
  palette = PIL.Image.fromarray(indices, mode="P")
  palette.putpalette(rgb.tobytes())
  palette.save(folder / "palette.png", transparency=opacity.tobytes())
  palette.save(folder / "index.gif", transparency=4)
  unless = lambda clear: np.where(clear, 0, 255).astype(np.uint8)  # noqa: E731
  return {
    "rgba.png": (rgb, opacity),
    "rgba.tif": (rgb, opacity),
    "rgba.webp": (rgb, opacity),
    "la.png": (grey, opacity),
    "key.png": (rgb, unless((rgb == key).all(-1))),
    "grey_key.png": (grey, unless(grey[..., 0] == key[0])),
    "palette.png": (rgb, opacity),
    "index.gif": (rgb, unless(indices == 4)),
  }


def test_transparency_is_refused_in_a_line_that_names_the_flag(tmp_path, rgb):
  for name in _transparent(tmp_path, rgb):
    with pytest.raises(image_files.ImageError, match=r"--alpha=\{white,black,drop\}") as caught:
      image_files.read_image(str(tmp_path / name))
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("alpha", ["white", "black", "drop"])
def test_transparency_is_laid_on_a_colour_or_dropped(tmp_path, rgb, alpha):
  for name, (colours, opacity) in _transparent(tmp_path, rgb).items():
    share = opacity[..., None] / 255
    below = {"white": 255, "black": 0, "drop": colours}[alpha]
    expected = np.round(share * colours + (1 - share) * below)
    result = image_files.read_image(str(tmp_path / name), alpha)
    np.testing.assert_array_equal(result, expected, err_msg=name)


def test_opaque_alpha_is_dropped_without_being_asked(tmp_path, rgb):
  PIL.Image.fromarray(rgb).convert("RGBA").save(tmp_path / "rgba.png")
  np.testing.assert_array_equal(_read_silently(tmp_path / "rgba.png"), rgb)


def test_unknown_alpha(tmp_path):
  with pytest.raises(ValueError, match="white, black, drop or None, not 'grey'"):
    image_files.read_image(str(tmp_path / "image.png"), alpha="grey")


# Colour profiles, and inks without one.


def test_cmyk_subtracts_from_white(tmp_path):
  inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
  PIL.Image.fromarray(inks, "CMYK").save(tmp_path / "image.tif")
  expected = [[[255, 255, 255], [0, 255, 255], [255, 0, 0], [0, 0, 0]]]
  np.testing.assert_array_equal(_read_silently(tmp_path / "image.tif"), expected)


def _profile(space, connection, tags):
  """An ICC profile of version 2: a header of 128 bytes, a table of tags, their data."""
  position = 128 + 4 + 12 * len(tags)
  table, data = struct.pack(">I", len(tags)), b""
  for name, value in tags.items():
    table += struct.pack(">4sII", name, position + len(data), len(value))
    data += value + bytes(-len(value) % 4)
  device = b"prtr" if space == b"CMYK" else b"mntr"
  head = struct.pack(
    ">I4sI4s4s4s", position + len(data), b"", 0x02400000, device, space, connection
  )
  d50 = struct.pack(">iii", *(round(65536 * v) for v in (0.9642, 1.0, 0.8249)))
  head += bytes(12) + b"acsp" + bytes(28) + d50
  return head.ljust(128, b"\0") + table + data


def _xyz(values):
  return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(65536 * v) for v in values))


def _curve(function):
  """Device value in 0..1 -> linear light, as a table."""
  samples = np.round(65535 * function(np.linspace(0, 1, 4096))).astype(">u2")
  return b"curv\0\0\0\0" + struct.pack(">I", 4096) + samples.tobytes()


def _linear(v):
  """sRGB -> linear light, after IEC 61966-2-1."""
  return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def _encoded(light):
  light = np.clip(light, 0, 1)
  return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


# Columns relative to D50, from the profiles of these names.
_SRGB = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]
_P3 = [(0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)]
# Linear Display P3 -> linear sRGB, from CSS Color 4.
_P3_TO_SRGB = [[1.22494, -0.22494, 0], [-0.04206, 1.04206, 0], [-0.01964, -0.07864, 1.09827]]


def _rgb_profile(columns, curve=_linear):
  names = (b"rXYZ", b"gXYZ", b"bXYZ")
  tags = {name: _xyz(column) for name, column in zip(names, columns)}
  tags |= {name: _curve(curve) for name in (b"rTRC", b"gTRC", b"bTRC")}
  return _profile(b"RGB ", b"XYZ ", tags)


def _save_with_profile(path, image, profile):
  image.save(path, icc_profile=profile)
  with PIL.Image.open(path) as saved:
    assert saved.info["icc_profile"] == profile


@pytest.fixture
def colours():
  return np.random.default_rng(5).integers(0, 256, [40, 40, 3], dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_display_p3_becomes_srgb(tmp_path, colours, suffix):
  path = tmp_path / f"p3{suffix}"
  _save_with_profile(path, PIL.Image.fromarray(colours), _rgb_profile(_P3))
  expected = _encoded(_linear(colours / 255) @ np.transpose(_P3_TO_SRGB))
  assert np.abs(expected - colours).max() > 20
  np.testing.assert_allclose(_read_silently(path), expected, atol=1.5)


def test_a_profile_with_swapped_primaries_swaps_channels(tmp_path, colours):
  profile = _rgb_profile([_SRGB[1], _SRGB[0], _SRGB[2]])
  _save_with_profile(tmp_path / "image.png", PIL.Image.fromarray(colours), profile)
  expected = colours[..., [1, 0, 2]].astype(int)
  np.testing.assert_allclose(_read_silently(tmp_path / "image.png"), expected, atol=1)


def test_a_profile_that_means_srgb_changes_no_bit(tmp_path, colours):
  own = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
  for profile in (own, _rgb_profile(_SRGB)):
    _save_with_profile(tmp_path / "image.png", PIL.Image.fromarray(colours), profile)
    np.testing.assert_array_equal(_read_silently(tmp_path / "image.png"), colours)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA"])
def test_profiles_of_other_modes_are_applied(tmp_path, colours, mode):
  """Linear light in a file of any mode gives sRGB's own curve."""
  image = PIL.Image.fromarray(colours[:8, :8]).convert(mode)
  profile = _rgb_profile(_SRGB, lambda v: v)
  if mode == "L":
    profile = _profile(b"GRAY", b"XYZ ", {b"wtpt": _xyz((0.9642, 1, 0.8249)), b"kTRC": _curve(abs)})
  _save_with_profile(tmp_path / "image.png", image, profile)
  expected = _encoded(np.asarray(image.convert("RGB")) / 255)
  np.testing.assert_allclose(_read_silently(tmp_path / "image.png"), expected, atol=1.5)


def test_16_bits_with_a_profile(tmp_path, colours):
  path = tmp_path / "image.tif"
  profile = _rgb_profile([_SRGB[2], _SRGB[1], _SRGB[0]])
  tifffile.imwrite(path, colours.astype(np.uint16) * 257, photometric="rgb", iccprofile=profile)
  expected = colours[..., ::-1].astype(int)
  np.testing.assert_allclose(image_files.read_image(str(path)), expected, atol=1)


def test_inks_with_a_profile_become_what_it_says(tmp_path):
  """An invented press: any ink but black prints L* = 50; the simple formula gives other colours."""
  corners = np.array(list(np.ndindex(2, 2, 2, 2)))  # Whether there is ink, black last.
  lightness = np.where(corners[:, 3], 0, np.where(corners.any(1), 50, 100))
  table = np.stack([255 * lightness / 100, 128 + 0 * lightness, 128 + 0 * lightness], -1)
  lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
  lut += struct.pack(">9i", *(65536 * np.eye(3, dtype=int).ravel()))
  lut += 4 * bytes(range(256)) + table.round().astype(np.uint8).tobytes() + 3 * bytes(range(256))
  inks = PIL.Image.fromarray(np.uint8([[[0] * 4, [255, 0, 0, 0], [0, 0, 0, 255]]]), "CMYK")
  _save_with_profile(tmp_path / "image.tif", inks, _profile(b"CMYK", b"Lab ", {b"A2B0": lut}))
  # L* = 50 is 18.4 % of white's light.
  grey = _encoded(((50 + 16) / 116) ** 3)
  expected = np.repeat(np.reshape([255, grey, 0], [1, 3, 1]), 3, -1)
  np.testing.assert_allclose(_read_silently(tmp_path / "image.tif"), expected, atol=2)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", ["garbage", "cut off", "for other pixels"])
def test_a_broken_profile_is_ignored_and_that_is_said(tmp_path, colours, kind, mode):
  profile = {"garbage": b"no profile at all", "cut off": _rgb_profile(_P3)[:200]}.get(kind)
  if profile is None:
    profile = _rgb_profile(_P3) if mode == "CMYK" else _profile(b"CMYK", b"Lab ", {})
  image = PIL.Image.fromarray(colours).convert(mode)
  _save_with_profile(tmp_path / "image.tif", image, profile)
  notes = []
  result = image_files.read_image(str(tmp_path / "image.tif"), note=notes.append)
  np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))
  assert len(notes) == 1 and "profile" in notes[0] and "\n" not in notes[0]
