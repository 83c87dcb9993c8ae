"""Lets Pillow read and write compressed files: just `import bmshj_minnen.pillow`.

    with PIL.Image.open("photo.tfci") as image:  # Reads the header; pixels follow when needed.
      image.load()
    image.save("smaller.tfci", quality=30)

`save` takes `quality`, or one of the targets `bytes`, `bpp` and `psnr`, as `Codec.compress` does;
`effort`, as `bmshj_minnen.load` does; `exif`, `xmp` and `icc_profile`, as for JPEG; and `codec`, in
place of the default model's codec.
Modes of 16 bits are rounded to 8. Modes without a range (I, F) and transparency are refused. An
existing file is replaced only when the new file is whole.

A model is loaded when the first pixels are needed. It runs in ONNX Runtime, which starts sooner,
unless the program has imported TensorFlow already.
"""

import errno
import functools
import importlib.util
import io
import logging
import numbers
import os
import sys
import threading

import numpy as np
import PIL.Image
import PIL.ImageFile

import bmshj_minnen
from bmshj_minnen import checks, portable
from bmshj_minnen.coding import tiling
from bmshj_minnen.effort import MAX_EFFORT
from bmshj_minnen.file_tools import outputs
from bmshj_minnen.file_tools.errors import UnsupportedImageError
from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.images import colours, decoding, strips
from bmshj_minnen.images.exif import PREFIX
from bmshj_minnen.model_files import catalogue

__all__ = ["FORMAT", "CompressedImageFile", "use"]

FORMAT = "TFCI"
_LOG = logging.getLogger(__name__)
_REQUESTS = ("quality", "bytes", "bpp", "psnr")
# Modes with 8 bits or 1 bit per channel, which Pillow converts correctly.
_GREY_MODES = frozenset(("1", "L", "LA", "La"))
_COLOUR_MODES = frozenset(("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"))
_CODECS = {}  # Fingerprint of a model -> its codec.
_OF_EFFORT = {}  # Effort above 0 -> the default model's codec.
_LOADING = threading.Lock()


class CompressedImageFile(PIL.ImageFile.ImageFile):
  """A compressed file that `PIL.Image.open` opened; a damaged file raises OSError.

  `info` has the `quality`, and `exif` and `xmp` if the file has such metadata. `draft`, and so
  `thumbnail`, makes a smaller picture at once, whose pixels are means of squares of pixels. `crop`
  before `load` runs g_s on the part alone; each such call decodes all latents.
  """

  format = FORMAT
  format_description = "Joint autoregressive and hierarchical priors"
  _data = None  # The file until it is decoded; a copy by pickle is decoded.
  _scale = 1

  def _open(self):
    self._data = self.fp.read()
    try:
      header, _ = reading.parse_intact(self._data)
    except BitstreamError as error:
      raise OSError(str(error)) from error
    self._size = header.width, header.height
    self._mode = "RGB"
    self._fingerprint = header.fingerprint
    found = {name: getattr(header, name) for name in ("quality", "exif", "xmp")}
    self.info.update({name: value for name, value in found.items() if value})

  def load(self):
    """Decodes the pixels, unless they are decoded already.

    Raises:
      OSError: the payload is damaged.
      ValueError: the file's model neither ships nor was given to `use`.
    """
    if self._data is not None:
      pixels = self._decoded(scale=self._scale)
      self._data = None
      if self.fp and self._exclusive_fp:
        self.fp.close()
      self.fp = io.BytesIO(pixels.tobytes())
      self.tile = [("raw", (0, 0, *self.size), 0, ("RGB", 0, 1))]
    return super().load()

  def draft(self, mode, size):
    """Sets the smallest scale at which the picture is at least as large as a size, see Pillow.

    Returns:
      The mode, and the box of the whole picture in the smaller one; None if nothing changes.
    """
    if self._data is None or self._scale != 1 or size is None:
      return None
    width, height = self.size
    for scale in sorted(tiling.SCALES):
      box = tiling.box_of(scale)
      smaller = -(-width // box), -(-height // box)
      if scale < 1 and smaller[0] >= size[0] and smaller[1] >= size[1]:
        self._scale, self._size = scale, smaller
        return self.mode, (0, 0, width * scale, height * scale)
    return None

  def crop(self, box=None):
    """A part of the picture, as Pillow defines it; raises the errors of `load`."""
    corners = tuple(map(round, box)) if box is not None else ()
    if self._data is None or self._scale != 1 or not _is_within(corners, self.size):
      return super().crop(box)
    left, top, right, bottom = corners
    pixels = self._decoded(region=(left, top, right - left, bottom - top))
    return self._new(PIL.Image.fromarray(pixels).im)

  def _decoded(self, **options):
    try:
      return _codec_of(self._fingerprint, self._data).decompress(self._data, **options)
    except BitstreamError as error:
      raise OSError(str(error)) from error


def _is_within(corners, size):
  """Whether left, top, right and lower border bound a part of a picture that is not empty."""
  if len(corners) != 4:
    return False
  left, top, right, bottom = corners
  return 0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]


def use(codec) -> None:
  """Sets the `Codec` that decodes the files of its model, such as a model that you trained."""
  _CODECS[codec.fingerprint] = codec


def _runtime():
  """The module whose `load` and `load_for` start sooner."""
  if sys.modules.get("tensorflow") or importlib.util.find_spec("onnxruntime") is None:
    return bmshj_minnen
  return portable


def _codec_of(fingerprint, data):
  with _LOADING:
    if fingerprint not in _CODECS:
      _CODECS[fingerprint] = _runtime().load_for(data)
    return _CODECS[fingerprint]


def _default_codec(effort):
  with _LOADING:
    if effort:
      if effort not in _OF_EFFORT:
        _OF_EFFORT[effort] = bmshj_minnen.load(effort=effort)
      return _OF_EFFORT[effort]
    fingerprint = catalogue.fingerprint(catalogue.DEFAULT)
    if fingerprint not in _CODECS:
      _CODECS[fingerprint] = _runtime().load()
    return _CODECS[fingerprint]


def _save(image, file, filename):
  """Writes an image to an open file; called by Pillow.

  Raises:
    OSError: the pixels cannot be written; the message names the remedy.
    ValueError: an option is unknown or wrong, or a target is out of reach.
  """
  options = {name: value for name, value in image.encoderinfo.items() if value is not None}
  _check(options)
  filename = os.fsdecode(filename) or "the picture"
  opaque = _opaque(image, filename)
  if "icc_profile" in options:
    opaque = opaque.copy()
    opaque.info["icc_profile"] = options["icc_profile"]
  pixels = colours.to_srgb(filename, opaque, _LOG.warning)
  request = {name: options[name] for name in _REQUESTS if name in options}
  codec = options.get("codec") or _default_codec(options.get("effort", 0))
  data = codec.compress(pixels, **request)
  exif = options.get("exif", b"")
  exif = exif.tobytes() if isinstance(exif, PIL.Image.Exif) else exif
  exif = exif[len(PREFIX) :] if exif.startswith(PREFIX) else exif
  file.write(with_metadata(data, exif, options.get("xmp", b"")))


def _save_all(image, file, filename):
  raise ValueError(f"{FORMAT} holds one picture: leave out save_all and append_images")


def _is_number(value):
  return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_effort(value):
  return checks.is_whole(value) and 0 <= value <= MAX_EFFORT


def _is_bytes(value):
  return isinstance(value, bytes)


# Option -> a check of its value, and the accepted kind in words.
_OPTIONS = {
  **dict.fromkeys(_REQUESTS, (_is_number, "a number")),
  "effort": (_is_effort, f"a whole number, 0 to {MAX_EFFORT}"),
  "exif": (lambda value: isinstance(value, (bytes, PIL.Image.Exif)), "bytes or a PIL.Image.Exif"),
  **dict.fromkeys(("xmp", "icc_profile"), (_is_bytes, "bytes")),
  "codec": (lambda value: hasattr(value, "compress"), "a Codec"),
}


def _check(options):
  for name, value in options.items():
    if name not in _OPTIONS:
      raise ValueError(f"{FORMAT} has no option {name}: it takes {', '.join(_OPTIONS)}")
    will_do, words = _OPTIONS[name]
    if not will_do(value):
      raise ValueError(f"{name} must be {words}, not {value!r}")
  if options.get("effort") and "codec" in options:
    raise ValueError("effort is for the default model: give the codec its own, load(effort=...)")


def _opaque(image, filename):
  """The image with 8 bits per channel, and an alpha channel only if it is opaque throughout.

  Raises:
    OSError: the image has a mode without a range, or transparency.
  """
  is_deep = image.mode.startswith("I;16")
  if image.mode not in _GREY_MODES | _COLOUR_MODES and not is_deep:
    raise OSError(
      f"cannot write mode {image.mode} as {FORMAT}: scale it to 0..255 and convert it to L first"
    )
  is_opaque = not image.has_transparency_data
  if not is_opaque and not is_deep:
    image = image.convert("LA" if image.mode in _GREY_MODES else "RGBA")
    is_opaque = image.getchannel("A").getextrema()[0] == 255
  if not is_opaque:
    raise OSError(f"cannot write transparency as {FORMAT}: lay it on a colour first")
  return _rounded(image, filename) if is_deep else image


def _rounded(image, filename):
  """Levels of 16 bits -> the nearest levels of 8 bits, v * 255 / 65535."""
  _LOG.warning("%s: more than 8 bits a channel are rounded to 8", filename)
  levels = (np.asarray(image, np.uint32) + 128) // 257
  result = PIL.Image.fromarray(levels.astype(np.uint8))
  result.info = image.info
  return result


def _load_whole(image):
  """Decodes an opened picture that is not decoded yet.

  Raises:
    OSError: a part of its pixels is missing.
  """
  file = getattr(image, "fp", None)
  if not getattr(image, "tile", None) or not file or image.decoderconfig or image.tell():
    return  # `draft` and `seek` choose other pixels than those that are looked at.
  place = file.tell()
  file.seek(0)
  content = file.read()
  file.seek(place)
  try:
    if image.format == "TIFF":
      strips.keep_needed(image, content)
    decoding.load(image, content)
  except UnsupportedImageError as error:
    raise OSError(f"{image.filename or 'the picture'}: {error}") from error


class _NamedBuffer(io.BytesIO):
  """A file in memory, with a name."""

  def __init__(self, name: str):
    super().__init__()
    self.name = name


def _whole(save):
  """Pillow's `Image.save`, changed so that files of this format are written whole or not at all.

  Pillow empties a file before it calls the plugin, and has no earlier hook.
  """

  @functools.wraps(save)
  def save_whole(self, fp, format=None, **params):
    is_path = isinstance(fp, (str, bytes, os.PathLike))
    path = os.fsdecode(fp) if is_path else ""
    suffix = os.path.splitext(path)[1].lower()
    is_ours = (format or PIL.Image.EXTENSION.get(suffix, "")).upper() == FORMAT
    if is_ours:
      _load_whole(self)
    if not is_path or not is_ours:
      return save(self, fp, format, **params)
    if os.path.exists(path) and not os.access(path, os.W_OK):
      raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    buffer = _NamedBuffer(path)
    save(self, buffer, FORMAT, **params)
    outputs.write_atomically(path, buffer.getvalue())

  return save_whole


PIL.Image.Image.save = _whole(PIL.Image.Image.save)
PIL.Image.register_open(FORMAT, CompressedImageFile, reading.is_start_of_file)
# Before BMP, which claims every file that begins with "BM".
PIL.Image.ID.remove(FORMAT)
PIL.Image.ID.insert(0, FORMAT)
PIL.Image.register_save(FORMAT, _save)
PIL.Image.register_save_all(FORMAT, _save_all)
PIL.Image.register_extension(FORMAT, ".tfci")
PIL.Image.register_mime(FORMAT, "image/x-tfci")
