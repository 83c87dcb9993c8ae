"""The colours that a file declares, as an ICC profile.

PNG declares them in four ways, of which the first has priority (third edition, 4.3): cICP, iCCP,
sRGB, gAMA with cHRM. AVIF and HEIC have a profile or, like cICP, code points of ITU-T H.273,
sometimes only at the parts of a picture. Cameras name Adobe RGB only in EXIF. BMP and JPEG 2000
contain profiles that Pillow does not read. QOI files are sRGB: their byte for colours is
informative only, and writers set it to linear for sRGB pixels, Pillow among them.
"""

import struct
from typing import Callable, Optional

import PIL.Image

from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.images import boxes, icc, items, png

__all__ = ["profile"]

# H.273, table 2. 2: unknown.
_C = (0.310, 0.316)
_NTSC = icc.Chromaticities(icc.D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
_PRIMARIES = {
  1: icc.SRGB,
  2: icc.SRGB,
  4: icc.Chromaticities(_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
  5: icc.Chromaticities(icc.D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
  6: _NTSC,
  7: _NTSC,
  8: icc.Chromaticities(_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
  9: icc.Chromaticities(icc.D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
  11: icc.Chromaticities((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
  12: icc.Chromaticities(icc.D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
  22: icc.Chromaticities(icc.D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
# H.273, table 3, from values to light.
_CAMERA = icc.ToneCurve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_TRANSFERS = {
  **dict.fromkeys((1, 6, 14, 15), _CAMERA),
  2: icc.SRGB_CURVE,
  4: icc.gamma(2.2),
  5: icc.gamma(2.8),
  7: icc.ToneCurve(1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
  8: icc.gamma(1.0),
  13: icc.SRGB_CURVE,
}
# Pictures with primaries of ordinary video are made for the screens that sRGB describes.
_ORDINARY_VIDEO = frozenset((1, 2, 5, 6, 7))
_HDR = {16: "PQ", 18: "HLG"}
_LONGEST_PROFILE = 2**26  # Bytes.
_ADOBE_GAMMA = icc.gamma(563 / 256)
_INTEROPERABILITY, _EXIF, _COLOR_SPACE = 0xA005, 0x8769, 0xA001


def profile(image: PIL.Image.Image, content: bytes, note: Callable[[str], None]) -> Optional[bytes]:
  """An ICC profile of the colours of a picture; None if they are sRGB or not declared.

  Args:
    image: the opened picture.
    content: content of the file.
    note: called with one line for damaged declarations, which are ignored.

  Raises:
    UnsupportedImageError: a matrix and a curve cannot convert the colours to sRGB.
  """
  find = {
    "PNG": _of_png,
    "BMP": _of_bmp,
    "JPEG2000": _of_jpeg2000,
    "AVIF": _of_boxes,
    "HEIF": _of_boxes,
  }.get(image.format, _of_exif)
  try:
    return find(image, content, note)
  except UnsupportedImageError:
    raise
  except (ValueError, struct.error):
    note("its colour declaration is damaged; the colours are taken as sRGB")
    return None


def _coded(primaries, transfer):
  """An ICC profile for code points of H.273."""
  _refuse_hdr(transfer)
  if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
    raise UnsupportedImageError(
      f"its colours are not supported (primaries {primaries}, transfer {transfer} of H.273): "
      f"convert it to 8-bit sRGB first"
    )
  curve = _TRANSFERS[transfer]
  if curve == _CAMERA and primaries in _ORDINARY_VIDEO:
    curve = icc.SRGB_CURVE
  return _made(_PRIMARIES[primaries], curve)


def _refuse_hdr(transfer):
  if transfer in _HDR:
    raise UnsupportedImageError(
      f"an HDR picture ({_HDR[transfer]}), which is not read: convert it to 8-bit sRGB first"
    )


def _made(chromaticities, *curves):
  """An ICC profile; None for sRGB, whose pixels need no conversion."""
  if chromaticities == icc.SRGB and set(curves) == {icc.SRGB_CURVE}:
    return None
  return icc.profile(chromaticities, curves)


def _of_png(image, content, note):
  del image
  found = {}
  for chunk in png.chunks(content):
    if chunk.name == b"IDAT":
      break
    if chunk.whole:
      found.setdefault(chunk.name, chunk)
    elif chunk.name in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"):
      note(f"its chunk {chunk.name.decode()} is damaged and not heeded")
  if b"cICP" in found:
    primaries, transfer, matrix, full = struct.unpack(">4B", found[b"cICP"].body)
    if (matrix, full) != (0, 1):
      raise UnsupportedImageError(
        "a PNG picture not of full-range RGB: convert it to 8-bit sRGB first"
      )
    return _coded(primaries, transfer)
  if b"iCCP" in found:
    inflated = png.inflated(png.profile_stream(found[b"iCCP"]), _LONGEST_PROFILE)
    if inflated is None:
      raise ValueError("the profile is damaged")
    return inflated
  if b"sRGB" in found or not {b"gAMA", b"cHRM"} & set(found):
    return None
  gamma = struct.unpack(">I", found[b"gAMA"].body)[0] if b"gAMA" in found else png.SRGB_GAMMA
  places = struct.unpack(">8I", found[b"cHRM"].body) if b"cHRM" in found else png.SRGB_PLACES
  is_srgb = all(
    abs(one - other) <= png.PLACE_TOLERANCE for one, other in zip(places, png.SRGB_PLACES)
  )
  if not gamma:
    raise ValueError("no exponent")
  has_srgb_gamma = abs(gamma - png.SRGB_GAMMA) <= png.GAMMA_TOLERANCE
  if has_srgb_gamma and (is_srgb or b"gAMA" not in found):
    return _made(icc.SRGB if is_srgb else _chromaticities(places), icc.SRGB_CURVE)
  return icc.profile(_chromaticities(places), (icc.gamma(100000 / gamma),))


def _chromaticities(places):
  values = [place / 100000 for place in places]
  return icc.Chromaticities(*zip(values[::2], values[1::2]))


def _of_bmp(image, content, note):
  """The profile of a BMP; headers of versions 4 and 5, from byte 14 on, declare colours."""
  del image, note
  size = int.from_bytes(content[14:18], "little")
  kind = content[70:74]
  if size < 108 or kind in (b"BGRs", b" niW"):
    return None
  if kind == b"DEBM" and size >= 124:
    start, length = struct.unpack_from("<II", content, 126)
    start += 14
    if not length or start + length > len(content):
      raise ValueError("the profile is cut off")
    return content[start : start + length]
  if kind == b"KNIL":
    raise UnsupportedImageError(
      "a BMP picture whose colour profile is another file: convert it to PNG first"
    )
  if kind != bytes(4):
    return None
  ends = [value / 2**30 for value in struct.unpack_from("<9I", content, 74)]
  gammas = [value / 65536 for value in struct.unpack_from("<3I", content, 110)]
  if not any(ends) or not all(gammas):
    return None  # The header declares no colours.
  places = [(x / (x + y + z), y / (x + y + z)) for x, y, z in zip(*[iter(ends)] * 3) if x + y + z]
  if len(places) != 3:
    raise ValueError("invalid primaries")
  white = icc.D65
  is_srgb = all(
    abs(one - other) < 0.01
    for place, expected in zip(places, icc.SRGB[1:])
    for one, other in zip(place, expected)
  )
  if is_srgb and all(abs(gamma / 2.2 - 1) <= 0.05 for gamma in gammas):
    return None
  return icc.profile(icc.Chromaticities(white, *places), tuple(map(icc.gamma, gammas)))


def _of_jpeg2000(image, content, note):
  del image, note
  colour = boxes.find(content, b"jp2h", b"colr")
  return colour[3:] if colour[:1] in (b"\2", b"\3") else None


def _of_boxes(image, content, note):
  """The profile of AVIF and HEIC: profiles have priority over code points.

  Declarations at the parts of a picture count like declarations at the whole picture.
  """
  colours = [_of_item(item) for item in items.shown(content)]
  profiles = {profile for profile, _ in colours if profile}
  points = [coded for _, coded in colours if coded]
  # Primaries, transfer, matrix and range; 2 means unknown in the first three.
  known = [set(values) - ({2} if i < 3 else set()) for i, values in enumerate(zip(*points))]
  if len(profiles) > 1 or any(len(values) > 1 for values in known[:2]):
    raise UnsupportedImageError(
      "a picture whose parts declare different colours: convert it to 8-bit sRGB first"
    )
  if any(len(values) > 1 for values in known[2:]):
    note("its parts declare different matrices or ranges; the one of the whole is used")
  if profiles or image.info.get("icc_profile"):
    return profiles.pop() if profiles else image.info["icc_profile"]
  if not points:
    note("it says nothing of its colours; they are taken as sRGB")
    return None
  if not any(colours[0]) and image.format == "AVIF":
    note("its colours stand at its parts alone; they are taken as they are coded there")
  return _coded(*(min(values, default=2) for values in known[:2]))


def _of_item(item):
  """The profile of an item of AVIF or HEIC, and its code points of H.273 with matrix and range."""
  bodies = [box.body for box in item.properties if box.name == b"colr"]
  profile_of_item = next((body[4:] for body in bodies if body[:4] in (b"prof", b"rICC")), None)
  coded = next((body[4:11] for body in bodies if body[:4] == b"nclx"), None)
  coded = struct.unpack(">HHHB", coded) if coded else None
  if coded and not profile_of_item:
    _refuse_hdr(coded[1])
  return profile_of_item, coded


def _of_exif(image, content, note):
  del content, note
  if image.info.get("icc_profile"):
    if not isinstance(image.info["icc_profile"], bytes):
      raise ValueError("the profile is of a type that it should not have")
    return image.info["icc_profile"]
  if any(data.startswith(b"ICC_PROFILE\0") for _, data in getattr(image, "applist", ())):
    raise ValueError("a part of the profile is missing")
  try:
    found = image.getexif()
    index = str(found.get_ifd(_INTEROPERABILITY).get(1, "")).rstrip("\0 ")
    is_adobe = index == "R03" or found.get_ifd(_EXIF).get(_COLOR_SPACE) == 2
  except Exception:  # Pixels are readable in spite of broken EXIF data.
    return None
  return icc.profile(icc.ADOBE_RGB, (_ADOBE_GAMMA,)) if is_adobe else None
