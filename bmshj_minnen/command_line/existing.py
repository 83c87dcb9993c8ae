"""Compressed files that exist already: checks whether they satisfy a request."""

import math
from typing import Any, Callable, Optional

import numpy as np

from bmshj_minnen import targets
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.command_line import manifest
from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError
from bmshj_minnen.images import image_files
from bmshj_minnen.psnr import psnr
from bmshj_minnen.quality import DEFAULT_QUALITY

__all__ = ["header_if_satisfied", "is_opaque", "request_text"]


def header_if_satisfied(
  codec: Codec, request: dict[str, float], data: bytes, read_source: Callable[[], np.ndarray]
) -> Optional[reading.Header]:
  """The header of a file that is intact, of the codec's model, and satisfies a request; else None.

  A file does not record whether its latents were refined.

  Args:
    codec: the codec that would compress the photograph again.
    request: arguments for `Codec.compress`: a quality, a target, or none.
    data: content of the compressed file.
    read_source: reads the photograph, [H, W, 3] uint8; called only if a PSNR is requested.

  Raises:
    Exception: any error of `read_source`.
  """

  def measure_psnr():
    image = read_source()
    of_this_size = image.shape[:2] == (header.height, header.width)
    return psnr(image, codec.decompress(data)) if of_this_size else -math.inf

  try:
    header, _ = reading.parse_intact(data)
    if header.fingerprint != codec.fingerprint:
      return None
    size = len(data)
    answers = targets.satisfies_request(request, codec.config, header, size, measure_psnr)
    return header if answers else None
  except BitstreamError:
    return None


def is_opaque(path: str, content: Optional[bytes] = None) -> bool:
  """Whether a photograph has the same pixels with every `--alpha`.

  Compressed files do not record `--alpha`.

  Args:
    path: path of the photograph.
    content: content of that file, if it is read already.
  """
  try:
    image_files.read_image(path, None, lambda text: None, content)
    return True
  except image_files.ImageError:
    return False


def request_text(codec: Codec, request: dict[str, float], **settings: Any) -> str:
  """The model, a request to `Codec.compress`, and all other settings, for the manifest.

  Args:
    codec: the codec.
    request: arguments for `Codec.compress`: a quality, a target, or none.
    **settings: other settings that results depend on; None: left out.
  """
  default = {"quality": DEFAULT_QUALITY} if codec.config.gain_lambdas else {}
  asked = {name: float(value) for name, value in (request or default).items()}
  return manifest.request_text(model=codec.fingerprint.hex(), **asked, **settings)
