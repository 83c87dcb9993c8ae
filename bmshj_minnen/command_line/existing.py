"""Compressed files that are there already: whether they answer what is asked for."""

import math
from typing import Callable, Optional

import numpy as np

from bmshj_minnen import targets
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.format import reading
from bmshj_minnen.format.errors import BitstreamError
from bmshj_minnen.photographs import images
from bmshj_minnen.psnr import psnr

__all__ = ["header_of_answer", "is_opaque"]


def header_of_answer(
  codec: Codec, request: dict[str, float], data: bytes, read_source: Callable[[], np.ndarray]
) -> Optional[reading.Header]:
  """The header of a file that is whole, of the codec's model, and satisfies a request; else None.

  A file does not say whether its latents were refined.

  Args:
    codec: that would make it again.
    request: what `Codec.compress` would be given: a quality, a target, or nothing.
    data: the file.
    read_source: reads its photograph, [H, W, 3] uint8; called only if a PSNR is asked for.

  Raises:
    Exception: whatever `read_source` raises.
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
  """Whether a photograph is read alike with every `--alpha`, which compressed files do not say.

  Args:
    path: of the photograph.
    content: see `images.read_image`.
  """
  try:
    images.read_image(path, None, lambda text: None, content)
    return True
  except images.ImageError:
    return False
