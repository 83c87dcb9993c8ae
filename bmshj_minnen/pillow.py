"""Makes Pillow read and write compressed files: `import bmshj_minnen.pillow` is all it takes.

    with PIL.Image.open("photo.tfci") as image:  # Reads the header; pixels follow when needed.
      image.load()
    image.save("smaller.tfci", quality=30)  # And model=, alpha=, exif=, xmp=; or bytes=, bpp=, psnr=.

TensorFlow is imported, and the model loaded, for the first pixels.
"""

import functools
import io
import threading

import numpy as np
import PIL.Image
import PIL.ImageFile

from bmshj_minnen.coding import bitstream
from bmshj_minnen.photographs import exif

__all__ = ["FORMAT", "CompressedImageFile", "register"]

FORMAT = "TFCI"
_SUFFIX = ".tfci"
_MIME = "image/x-tfci"
_TARGETS = ("quality", "bytes", "bpp", "psnr")
_LOADING = threading.Lock()


class CompressedImageFile(PIL.ImageFile.ImageFile):
  """A file of a model that ships, as Pillow opens it.

  `info` has its `quality`, and `exif` and `xmp` where the file has such metadata.
  """

  format = FORMAT
  format_description = "Joint autoregressive and hierarchical priors"

  def _open(self):
    try:
      header, _ = bitstream.parse_intact(self.fp.read())
    except bitstream.BitstreamError as error:
      # What Pillow takes for a file of another format; it shows the text of OSErrors only.
      raise SyntaxError(str(error)) from error
    self._size = header.width, header.height
    self._mode = "RGB"
    for name in ("quality", "exif", "xmp"):
      value = getattr(header, name)
      if value:
        self.info[name] = value
    self._is_decoded = False

  def load(self):
    """Decodes the pixels, once.

    Raises:
      ValueError: no model that ships wrote the file.
      PIL.Image.DecompressionBombError: it declares more pixels than Pillow accepts.
    """
    if not self._is_decoded:
      from bmshj_minnen.model_files import model_directory  # TensorFlow: seconds.

      self.fp.seek(0)
      data = self.fp.read()
      pixels = model_directory.load_for(data).decompress(data)
      self.im = PIL.Image.fromarray(pixels).im
      self._is_decoded = True
      self.tile = []
      if self._exclusive_fp and self._close_exclusive_fp_after_loading:
        self.fp.close()
      self.fp = None
    return PIL.Image.Image.load(self)
