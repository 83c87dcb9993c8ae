"""The requests that the server answers, as functions of a body and of parameters."""

import functools
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Callable, NamedTuple

import PIL.Image

from bmshj_minnen.coding import tiling
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.command_line import facts as file_facts
from bmshj_minnen.format import reading
from bmshj_minnen.format.reading import Header
from bmshj_minnen.images import encoding, formats, image_files
from bmshj_minnen.images.metadata import Metadata
from bmshj_minnen.server.pool import RefusedError

__all__ = ["CALLS", "Answer", "Codecs", "parameters"]

_NAME = "the picture"  # In place of a file name in messages.
_PREVIEW, _MAX_PREVIEW = 256, 2048
_SCALES = {"1": 1, "1/2": 1 / 2, "1/4": 1 / 4, "1/8": 1 / 8}


class Codecs(NamedTuple):
  """The codecs of a server.

  Attributes:
    codec: compresses.
    codec_of: file -> the codec that decompresses it.
    max_pixels: largest picture.
  """

  codec: Codec
  codec_of: Callable[[bytes], Codec]
  max_pixels: int


class Answer(NamedTuple):
  """The body of a response.

  Attributes:
    body: the content.
    media_type: its media type.
    width, height: size of the picture that was coded, pixels; 0 without one.
  """

  body: bytes
  media_type: str
  width: int = 0
  height: int = 0


_Progress = Callable[[float], None]


def parameters(items: Iterable[tuple[str, str]]) -> dict[str, str]:
  """The parameters of a query by name.

  Raises:
    ValueError: a parameter is given twice.
  """
  result: dict[str, str] = {}
  for name, value in items:
    if name in result:
      raise ValueError(f"{name} is given twice")
    result[name] = value
  return result


def _compress(codecs: Codecs, body: bytes, asked: Mapping[str, str], progress: _Progress) -> Answer:
  """A picture -> a compressed file."""
  names = ("quality", "bytes", "bpp", "psnr")
  request = {name: _number(name, asked[name]) for name in names if name in asked}
  if len(request) > 1:
    raise ValueError(f"give only one of {', '.join(request)}")
  alpha = asked.get("alpha")
  _refuse_large(codecs, _declared_size(body))
  image = image_files.read_image(_NAME, alpha, lambda text: None, body)
  data = codecs.codec.compress(image, progress=progress, **request)
  return Answer(data, "image/x-tfci", image.shape[1], image.shape[0])


def _decompress(
  codecs: Codecs, body: bytes, asked: Mapping[str, str], progress: _Progress
) -> Answer:
  """A compressed file -> a picture."""
  suffix = asked.get("format", "png")
  if suffix not in encoding.names():
    raise ValueError(f"format is one of {', '.join(encoding.names())}, not {suffix}")
  quality = _whole("output_quality", asked["output_quality"]) if "output_quality" in asked else None
  if quality is not None and (f".{suffix}" not in encoding.LOSSY or not 1 <= quality <= 100):
    raise ValueError(f"output_quality is 1 to 100, for {', '.join(encoding.LOSSY)}")
  scale = asked.get("scale", "1")
  if scale not in _SCALES:
    raise ValueError(f"scale is one of {', '.join(_SCALES)}, not {scale}")
  region = None
  if "region" in asked:
    region = tuple(_whole("region", value) for value in asked["region"].split(","))
    if len(region) != 4:
      raise ValueError("region is left, top, width and height, such as 0,0,64,64")
  header = _header(codecs, body)
  image = codecs.codec_of(body).decompress(body, None, progress, region, _SCALES[scale])
  image_format = encoding.format_of(f"picture.{suffix}")
  kept, _ = encoding.fitting(Metadata(header.exif, header.xmp), image_format)
  data = encoding.encode(image, image_format, quality, kept)
  return Answer(data, PIL.Image.MIME[image_format], image.shape[1], image.shape[0])


def _preview(codecs: Codecs, body: bytes, asked: Mapping[str, str], progress: _Progress) -> Answer:
  """A compressed file -> a small JPEG."""
  size = _whole("size", asked.get("size", str(_PREVIEW)))
  if not 1 <= size <= _MAX_PREVIEW:
    raise ValueError(f"size is 1 to {_MAX_PREVIEW} pixels, not {size}")
  header = _header(codecs, body)
  side = max(header.width, header.height)
  scale = min(scale for scale in tiling.SCALES if scale == 1 or side * scale >= 2 * size)
  pixels = codecs.codec_of(body).decompress(body, None, progress, scale=scale)
  image = PIL.Image.fromarray(pixels)
  image.thumbnail((size, size))
  file = io.BytesIO()
  image.save(file, "JPEG", quality=85)
  return Answer(file.getvalue(), "image/jpeg", *image.size)


def _info(codecs: Codecs, body: bytes, asked: Mapping[str, str], progress: _Progress) -> Answer:
  """A compressed file -> facts about it, as JSON."""
  return Answer(json.dumps(file_facts.facts_of(body)).encode(), "application/json")


def _header(codecs: Codecs, body: bytes) -> Header:
  header, _ = reading.parse_intact(body)
  _refuse_large(codecs, (header.width, header.height))
  return header


def _declared_size(body):
  """Width and height that a picture declares; (0, 0) for what is refused when it is read."""
  try:
    with formats.open_picture(body) as image:
      return image.size
  except PIL.Image.DecompressionBombError as error:
    raise RefusedError(413, f"{_NAME}: {error}") from error
  except Exception:  # Damaged files make Pillow raise nearly anything.
    return 0, 0


def _refuse_large(codecs, size):
  if size[0] * size[1] > codecs.max_pixels:
    raise RefusedError(413, f"{size[0]}x{size[1]} is more than {codecs.max_pixels} pixels")


def _number(name, text):
  try:
    return float(text)
  except ValueError:
    raise ValueError(f"{name} must be a number, not {text!r}") from None


def _whole(name, text):
  if not text.isdecimal():
    raise ValueError(f"{name} must be whole numbers, not {text!r}")
  return int(text)


def _checked(names, call):
  """A call that refuses parameters that it does not have."""

  @functools.wraps(call)
  def checked(codecs: Codecs, body: bytes, asked: Mapping[str, str], progress: _Progress) -> Answer:
    unknown = sorted(set(asked) - set(names))
    if unknown:
      known = f"it takes {', '.join(names)}" if names else "it takes none"
      raise ValueError(f"there is no parameter {unknown[0]!r} here: {known}")
    return call(codecs, body, asked, progress)

  return checked


# Path -> function of codecs, body, parameters and progress; raises ValueError for bad requests.
CALLS: dict[str, Callable[..., Any]] = {
  "/compress": _checked(("quality", "bytes", "bpp", "psnr", "alpha"), _compress),
  "/decompress": _checked(("format", "output_quality", "scale", "region"), _decompress),
  "/preview": _checked(("size",), _preview),
  "/info": _checked((), _info),
}
