"""Titles and line styles of codecs, the same in plots, tables and the page."""

import collections
import dataclasses
from collections.abc import Sequence

__all__ = ["COLOURS", "PUBLISHED", "REFINED", "Appearance", "appearances"]

REFINED = "+refine"  # After the name of a model, before the number of steps.


@dataclasses.dataclass(frozen=True)
class Appearance:
  """Title and style of one curve.

  Attributes:
    title: title in plots and tables.
    colour: CSS colour.
    dash, symbol: style of the line and of its points, by Matplotlib's names.
  """

  title: str
  colour: str
  dash: str = "-"
  symbol: str = "o"


# The colours that Okabe and Ito (2008) chose for all kinds of colour vision, without yellow, which
# is too light for lines. Dashes and symbols distinguish curves of the same colour.
_BLUE, _SKY, _GREEN, _ORANGE, _PURPLE = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7"
_VERMILION, _BLACK = "#d55e00", "#000000"
_OLIVE = "#999933"  # By Tol, see below.
COLOURS = (_BLUE, _GREEN, _ORANGE, _PURPLE, _VERMILION, _SKY, _BLACK)

_CLASSICAL = {
  "jpeg420": Appearance("JPEG 4:2:0", _BLUE, "-", "s"),
  "jpeg444": Appearance("JPEG 4:4:4", _BLUE, "--", "s"),
  "jpeg2000": Appearance("JPEG 2000, equal rates", _GREEN, "-", "^"),
  "jpeg2000_psnr": Appearance("JPEG 2000, equal PSNR", _GREEN, "--", "^"),
  "webp": Appearance("WebP", _ORANGE, "-", "D"),
  "avif": Appearance("AVIF 4:4:4", _PURPLE, "-", "v"),
  "hevc444": Appearance("HEVC 4:4:4", _SKY, "-", "x"),
  "jpegli420": Appearance("JPEG 4:2:0, jpegli", _BLUE, "-", "D"),
  "mozjpeg420": Appearance("JPEG 4:2:0, MozJPEG", _BLUE, "-", "o"),
  "mozjpeg444": Appearance("JPEG 4:4:4, MozJPEG", _BLUE, "--", "o"),
  "jpegxl": Appearance("JPEG XL", _OLIVE, "-", "s"),
  "av1": Appearance("AV1 4:4:4", _PURPLE, "--", "^"),
  "vvc": Appearance("VVC 4:2:0", _SKY, "--", "D"),
}
# Published curves without points; a codec that is measured here, too, has the same colour.
_GREY, _BROWN = "#7f7f7f", "#8c510a"
PUBLISHED = {
  "published minnen-2018-neurips-opt-mse": Appearance("joint, published", _BLACK, "--", ""),
  "published minnen-2018-neurips-opt-msssim": Appearance(
    "joint for MS-SSIM, published", _BLACK, ":", ""
  ),
  "published balle-2018-iclr-opt-mse": Appearance("scale hyperprior, published", _GREY, "--", ""),
  "published bpg444": Appearance("BPG 4:4:4, published", _BROWN, "-.", ""),
  "published jpeg420": Appearance("JPEG 4:2:0, published", _BLUE, ":", ""),
}
_FIXED = {**_CLASSICAL, **PUBLISHED}
_DASHES = ("-", "--", "-.", ":")
# Four more, which Tol chose for all kinds of colour vision, are free beside all classical codecs.
_MODELS = (_VERMILION, _BLACK, "#882255", "#332288", "#44aa99", _OLIVE, _PURPLE, _SKY, _GREEN)


def appearances(codecs: Sequence[str]) -> dict[str, Appearance]:
  """Codec -> appearance, for all plots of an evaluation.

  A method has one colour: models take in turn those that no other curve has, and refined latents
  keep the colour of their model.
  """
  taken = {_FIXED[codec].colour for codec in codecs if codec in _FIXED}
  free = [colour for colour in _MODELS if colour not in taken]
  result, colours, lines = {}, {}, collections.Counter()
  for codec in codecs:
    if codec in _FIXED:
      result[codec] = _FIXED[codec]
      continue
    model = codec.partition(REFINED)[0]
    colour = colours.setdefault(model, free[len(colours) % len(free)])
    result[codec] = Appearance(codec, colour, _DASHES[lines[colour] % len(_DASHES)])
    lines[colour] += 1
  return result
