"""Pillow reads and writes compressed files: `import bmshj_minnen.pillow` is all that it takes.

    with PIL.Image.open("photo.tfci") as image:  # Reads the header; pixels follow when needed.
      image.load()
    image.save("smaller.tfci", quality=30)

`save` takes `quality`, or one of the targets `bytes`, `bpp` and `psnr`, as `Codec.compress` does;
`exif` and `xmp`, as for JPEG; and `codec`, in place of that of the default model. TensorFlow is
imported, and a model loaded, when the first pixels are needed.
"""

import io
import threading

import PIL.Image
import PIL.ImageFile

from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError
from bmshj_minnen.format.metadata import with_metadata
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.photographs import colours
from bmshj_minnen.photographs.exif import PREFIX

__all__ = ["FORMAT", "CompressedImageFile", "use"]

FORMAT = "TFCI"
_ASKED_FOR = ("quality", "bytes", "bpp", "psnr")
_CODECS = {}  # By fingerprint.
_LOADING = threading.Lock()


class CompressedImageFile(PIL.ImageFile.ImageFile):
  """A compressed file as `PIL.Image.open` gives it; broken ones raise OSError.

  `info` has its `quality`, and `exif` and `xmp` if it has such metadata.
  """

  format = FORMAT
  format_description = "Joint autoregressive and hierarchical priors"
  _data = None  # What is not decoded yet; a copy by pickle is decoded.

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
    """Decodes the pixels, if that was not done.

    Raises:
      OSError: the payload is not what its model wrote.
      ValueError: neither a model that ships wrote the file, nor one of `use`.
    """
    if self._data is not None:
      try:
        pixels = _codec_of(self._fingerprint, self._data).decompress(self._data)
      except BitstreamError as error:
        raise OSError(str(error)) from error
      self._data = None
      if self.fp and self._exclusive_fp:
        self.fp.close()
      self.fp = io.BytesIO(pixels.tobytes())
      self.tile = [("raw", (0, 0, *self.size), 0, ("RGB", 0, 1))]
    return super().load()


def use(codec) -> None:
  """Files of this `Codec`'s model are decoded with it, such as of a model of one's own."""
  _CODECS[codec.fingerprint] = codec


def _codec_of(fingerprint, data):
  from bmshj_minnen.model_files import model_directory  # TensorFlow, which takes seconds.

  with _LOADING:
    if fingerprint not in _CODECS:
      _CODECS[fingerprint] = model_directory.load_for(data)
    return _CODECS[fingerprint]


def _default_codec():
  from bmshj_minnen.model_files import model_directory

  with _LOADING:
    fingerprint = catalogue.fingerprint(catalogue.DEFAULT)
    if fingerprint not in _CODECS:
      _CODECS[fingerprint] = model_directory.load()
    return _CODECS[fingerprint]


def _save(image, file, filename):
  if image.has_transparency_data:
    raise OSError(f"cannot write transparency as {FORMAT}: lay it on a colour first")
  options = image.encoderinfo
  opaque = colours.to_srgb(filename, image, lambda text: None)
  asked = {name: options[name] for name in _ASKED_FOR if options.get(name) is not None}
  data = (options.get("codec") or _default_codec()).compress(opaque, **asked)
  exif = options.get("exif") or b""
  exif = exif.tobytes() if isinstance(exif, PIL.Image.Exif) else exif
  exif = exif[len(PREFIX) :] if exif.startswith(PREFIX) else exif
  file.write(with_metadata(data, exif, options.get("xmp") or b""))


PIL.Image.register_open(FORMAT, CompressedImageFile, reading.is_start_of_file)
# Before BMP, which takes every file that begins with "BM" for its own.
PIL.Image.ID.remove(FORMAT)
PIL.Image.ID.insert(0, FORMAT)
PIL.Image.register_save(FORMAT, _save)
PIL.Image.register_extension(FORMAT, ".tfci")
PIL.Image.register_mime(FORMAT, "image/x-tfci")
