"""Colours that files declare without an ICC profile become sRGB, or are refused."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from bmshj_minnen.images import image_files

# x and y of white, red, green and blue.
_SRGB = ((0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
_P3 = ((0.3127, 0.329), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
_REC_2020 = ((0.3127, 0.329), (0.708, 0.292), (0.17, 0.797), (0.131, 0.046))
_ADOBE = ((0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_SWAPPED = (_SRGB[0], _SRGB[2], _SRGB[1], _SRGB[3])
_D50 = ((0.3457, 0.3585), *_SRGB[1:])


def _light_of_srgb(values):
  return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _srgb_of_light(light):
  light = np.clip(light, 0, 1)
  return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _light_of_rec_2020(values):
  return np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))


def _power(exponent):
  return lambda values: values**exponent


def _to_xyz(places):
  """The matrix [3, 3] from light of three colours to XYZ, by its definition."""
  white, *primaries = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in places)
  columns = np.stack(primaries, 1)
  return columns * np.linalg.solve(columns, white)


def _adapted(white, other):
  """The matrix [3, 3] from XYZ for one white to XYZ for another, after Bradford."""
  cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
  one, two = (cone @ [x / y, 1, (1 - x - y) / y] for x, y in (white, other))
  return np.linalg.inv(cone) @ np.diag(two / one) @ cone


def _expected(levels, places, light_of):
  """Converts 8-bit levels of a colour space to sRGB, in float64."""
  light = light_of(levels / 255) @ _to_xyz(places).T @ _adapted(places[0], _SRGB[0]).T
  return _srgb_of_light(light @ np.linalg.inv(_to_xyz(_SRGB)).T) * 255


_LEVELS = np.random.default_rng(0).integers(0, 256, [9, 11, 3], dtype=np.uint8)


def _chunk(name, body):
  return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png(chunks, levels=_LEVELS):
  buffer = io.BytesIO()
  PIL.Image.fromarray(levels).save(buffer, "PNG")
  data = buffer.getvalue()
  return data[:33] + b"".join(_chunk(name, body) for name, body in chunks.items()) + data[33:]


def _chrm(places):
  return struct.pack(">8I", *(round(value * 100000) for place in places for value in place))


def _gama(exponent):
  return struct.pack(">I", round(100000 / exponent))


def _profile(swapped=False):
  """An ICC profile of sRGB, or with its red and green swapped."""
  profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
  return (
    profile.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    if (swapped)
    else profile
  )


def _iccp(**options):
  return b"a\0\0" + zlib.compress(_profile(**options))


def _read(content):
  return image_files.read_image("x", content=content, note=pytest.fail)


def _refuse(content, words):
  with pytest.raises(image_files.ImageError, match=words) as caught:
    image_files.read_image("x", content=content, note=pytest.fail)
  assert "\n" not in str(caught.value)


_SWAP = (_SWAPPED, _light_of_srgb)


@pytest.mark.parametrize(
  "chunks, places, light_of",
  [
    ({b"cICP": bytes([12, 13, 0, 1])}, _P3, _light_of_srgb),
    ({b"cICP": bytes([9, 13, 0, 1])}, _REC_2020, _light_of_srgb),
    ({b"cICP": bytes([9, 14, 0, 1])}, _REC_2020, _light_of_rec_2020),
    ({b"cICP": bytes([1, 8, 0, 1])}, _SRGB, _power(1)),
    ({b"cICP": bytes([1, 4, 0, 1])}, _SRGB, _power(2.2)),
    ({b"gAMA": _gama(1)}, _SRGB, _power(1)),
    ({b"gAMA": _gama(1.8)}, _SRGB, _power(1.8)),
    ({b"gAMA": _gama(2.2), b"cHRM": _chrm(_P3)}, _P3, _power(2.2)),
    ({b"gAMA": _gama(2.2), b"cHRM": _chrm(_SWAPPED)}, _SWAPPED, _power(2.2)),
    ({b"gAMA": _gama(1.8), b"cHRM": _chrm(_D50)}, _D50, _power(1.8)),
    ({b"cHRM": _chrm(_P3)}, _P3, _light_of_srgb),
    ({b"iCCP": _iccp(swapped=True)}, *_SWAP),
    # The order of precedence in the standard counts, not the order in the file.
    ({b"gAMA": _gama(1), b"iCCP": _iccp(swapped=True)}, *_SWAP),
    ({b"sRGB": b"\0", b"iCCP": _iccp(swapped=True)}, *_SWAP),
    ({b"iCCP": _iccp(swapped=True), b"cICP": bytes([12, 13, 0, 1])}, _P3, _light_of_srgb),
  ],
)
def test_colours_of_png_become_srgb(chunks, places, light_of):
  expected = _expected(_LEVELS, places, light_of)
  np.testing.assert_allclose(_read(_png(chunks)), expected, atol=1.6)
  assert np.abs(expected - _LEVELS).max() > 8


@pytest.mark.parametrize(
  "chunks",
  [
    {b"cICP": bytes([1, 13, 0, 1])},
    {b"cICP": bytes([1, 1, 0, 1])},
    {b"gAMA": struct.pack(">I", 45455)},
    {b"gAMA": struct.pack(">I", 45455), b"cHRM": _chrm(_SRGB)},
    {b"sRGB": b"\0", b"gAMA": _gama(1), b"cHRM": _chrm(_P3)},
    {b"iCCP": _iccp(), b"gAMA": _gama(1)},
    {b"cICP": bytes([1, 13, 0, 1]), b"iCCP": _iccp(swapped=True)},
  ],
)
def test_what_means_srgb_changes_nothing(chunks):
  np.testing.assert_array_equal(_read(_png(chunks)), _LEVELS)


def test_grey_has_a_curve_too():
  grey = _LEVELS[..., 0]
  expected = _expected(np.repeat(grey[..., None], 3, -1), _SRGB, _power(1))
  np.testing.assert_allclose(_read(_png({b"gAMA": _gama(1)}, grey)), expected, atol=1.6)


@pytest.mark.parametrize(
  "body, words",
  [
    ([9, 16, 0, 1], "HDR picture .PQ"),
    ([9, 18, 0, 1], "HDR picture .HLG"),
    ([10, 13, 0, 1], "primaries 10"),
    ([1, 9, 0, 1], "transfer 9"),
    ([1, 13, 0, 0], "full-range"),
    ([1, 13, 1, 1], "full-range"),
  ],
)
def test_colours_that_no_matrix_and_curve_give_are_refused(body, words):
  _refuse(_png({b"cICP": bytes(body)}), words)


@pytest.mark.parametrize(
  "name, body",
  [
    (b"gAMA", bytes(4)),
    (b"gAMA", b"\0"),
    (b"cHRM", bytes(32)),
    (b"cHRM", struct.pack(">8I", *[30000] * 8)),
    (b"cICP", b"\1\2"),
    (b"iCCP", b"a\0\0no stream"),
  ],
)
def test_damaged_declarations_cost_a_note(name, body):
  notes = []
  read = image_files.read_image("x", content=_png({name: body}), note=notes.append)
  np.testing.assert_array_equal(read, _LEVELS)
  assert len(notes) == 1 and "damaged" in notes[0]


def test_a_declaration_with_a_wrong_checksum_is_not_heeded():
  content = _png({b"gAMA": _gama(1)}).replace(_gama(1), _gama(1.1))
  notes = []
  read = image_files.read_image("x", content=content, note=notes.append)
  np.testing.assert_array_equal(read, _LEVELS)
  assert len(notes) == 1 and "gAMA" in notes[0]


def test_a_large_profile_is_used():
  profile = _profile(swapped=True)
  large = profile + bytes(2**21)
  body = b"a\0\0" + zlib.compress(struct.pack(">I", len(large)) + large[4:])
  expected = _LEVELS[..., [1, 0, 2]]
  np.testing.assert_allclose(_read(_png({b"iCCP": body})), expected, atol=1.6)


# AVIF and HEIC.

# Smooth, so that the codecs lose little.
_ROWS, _COLUMNS = np.mgrid[30:222:32j, 30:222:32j]
_SMOOTH = np.stack([_ROWS, _COLUMNS, 240 - _ROWS], -1).round().astype(np.uint8)


def _coded(file_format, primaries, transfer):
  """A file with these code points; its YCbCr does not depend on them."""
  buffer = io.BytesIO()
  if file_format == "HEIF":
    pytest.importorskip("pillow_heif").register_heif_opener()
    options = {"quality": 95, "chroma": 444, "matrix_coefficients": 5, "full_range_flag": 1}
  else:
    options = {"quality": 95, "subsampling": "4:4:4"}
  PIL.Image.fromarray(_SMOOTH).save(buffer, file_format, **options)
  content = buffer.getvalue()
  at = content.index(b"nclx") + 4
  return content[:at] + struct.pack(">HH", primaries, transfer) + content[at + 4 :]


@pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
@pytest.mark.parametrize(
  "primaries, transfer, places, light_of",
  [
    (1, 13, _SRGB, _light_of_srgb),
    (2, 2, _SRGB, _light_of_srgb),
    (12, 13, _P3, _light_of_srgb),
    (9, 14, _REC_2020, _light_of_rec_2020),
    (1, 8, _SRGB, _power(1)),
  ],
)
def test_code_points_become_srgb(file_format, primaries, transfer, places, light_of):
  before = _read(_coded(file_format, 1, 13)).astype(float)
  read = _read(_coded(file_format, primaries, transfer))
  np.testing.assert_allclose(before, _SMOOTH, atol=9)
  np.testing.assert_allclose(read, _expected(before, places, light_of), atol=1.6)


@pytest.mark.parametrize("file_format", ["AVIF", "HEIF"])
@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused(file_format, transfer):
  _refuse(_coded(file_format, 9, transfer), "HDR")


# Other formats.


def _exif(index, colour_space):
  """Little-endian EXIF with the directories of a camera: 26, 30 and 18 bytes."""
  part = lambda *entries: struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)  # noqa: E731
  entry = lambda tag, kind, count, value: struct.pack("<HHII", tag, kind, count, value)  # noqa: E731
  return (
    b"Exif\0\0II*\0\x08\0\0\0"
    + part(entry(0x8769, 4, 1, 26))
    + part(entry(0xA001, 3, 1, colour_space), entry(0xA005, 4, 1, 56))
    + part(struct.pack("<HHI4s", 1, 2, 4, index))
  )


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
  "index, colour_space, is_adobe",
  [(b"R03", 65535, True), (b"R98", 2, True), (b"R98", 1, False), (b"R98", 65535, False)],
)
def test_adobe_rgb_of_exif(file_format, index, colour_space, is_adobe):
  options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {"lossless": True}
  files = [io.BytesIO(), io.BytesIO()]
  for file, exif in zip(files, (b"", _exif(index, colour_space))):
    PIL.Image.fromarray(_SMOOTH).save(file, file_format, exif=exif, **options)
  before = _read(files[0].getvalue())
  expected = _expected(before, _ADOBE, _power(563 / 256)) if is_adobe else before
  np.testing.assert_allclose(_read(files[1].getvalue()), expected, atol=1.6)


def _bmp(kind, ends=(0,) * 9, gammas=(0, 0, 0), profile=b""):
  """A BMP file with a header of version 5."""
  pixels = b"".join(row.tobytes().ljust(36, b"\0") for row in _LEVELS[::-1, :, ::-1])
  info = struct.pack("<IiiHHIIiiII", 124, 11, 9, 1, 24, 0, len(pixels), 0, 0, 0, 0) + bytes(16)
  info += kind + struct.pack("<9I", *(round(value * 2**30) for value in ends))
  info += struct.pack("<3I", *(round(value * 65536) for value in gammas))
  info += struct.pack("<IIII", 4, 124 + len(pixels) if profile else 0, len(profile), 0)
  size = 14 + len(info) + len(pixels) + len(profile)
  return struct.pack("<2sIII", b"BM", size, 0, 138) + info + pixels + profile


def test_profiles_of_bmp():
  np.testing.assert_array_equal(_read(_bmp(b"BGRs")), _LEVELS)
  np.testing.assert_array_equal(_read(_bmp(b" niW")), _LEVELS)
  np.testing.assert_array_equal(_read(_bmp(bytes(4))), _LEVELS)
  read = _read(_bmp(b"DEBM", profile=_profile(swapped=True)))
  np.testing.assert_allclose(read, _LEVELS[..., [1, 0, 2]], atol=1.6)
  _refuse(_bmp(b"KNIL", profile=b"colours.icc"), "another file")


def test_calibrated_bmp():
  ends = [value for x, y in _P3[1:] for value in (x, y, 1 - x - y)]
  read = _read(_bmp(bytes(4), ends, (1.8, 1.8, 1.8)))
  np.testing.assert_allclose(read, _expected(_LEVELS, _P3, _power(1.8)), atol=1.6)
  ends = [value for x, y in _SRGB[1:] for value in (x, y, 1 - x - y)]
  np.testing.assert_array_equal(_read(_bmp(bytes(4), ends, (2.2, 2.2, 2.2))), _LEVELS)


def test_profiles_of_jpeg_2000():
  buffer = io.BytesIO()
  PIL.Image.fromarray(_LEVELS).save(buffer, "JPEG2000")
  content = buffer.getvalue()
  at = content.index(b"colr") - 4
  size = int.from_bytes(content[at : at + 4], "big")
  head = content.index(b"jp2h") - 4
  body = b"\2\0\0" + _profile(swapped=True)
  box = struct.pack(">I", 8 + len(body)) + b"colr" + body
  length = int.from_bytes(content[head : head + 4], "big") + len(box) - size
  content = content[:at] + box + content[at + size :]
  content = content[:head] + struct.pack(">I", length) + content[head + 4 :]
  np.testing.assert_allclose(_read(content), _LEVELS[..., [1, 0, 2]], atol=1.6)


def test_qoi_is_srgb_whatever_its_byte_for_colours_is():
  buffer = io.BytesIO()
  PIL.Image.fromarray(_LEVELS).save(buffer, "QOI")
  content = buffer.getvalue()
  assert content[13] == 1  # Pillow says so of all pixels.
  for colours in (b"\0", b"\1"):
    np.testing.assert_array_equal(_read(content[:13] + colours + content[14:]), _LEVELS)


def test_a_profile_that_is_there_in_part_costs_a_note():
  buffer = io.BytesIO()
  PIL.Image.fromarray(_SMOOTH).save(buffer, "JPEG", icc_profile=_profile(swapped=True))
  content = buffer.getvalue().replace(b"ICC_PROFILE\0\1\1", b"ICC_PROFILE\0\1\2")
  notes = []
  read = image_files.read_image("x", content=content, note=notes.append)
  np.testing.assert_allclose(read, _SMOOTH, atol=20)
  assert len(notes) == 1 and "damaged" in notes[0]
