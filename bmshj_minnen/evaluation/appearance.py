"""What codecs are called and how they are drawn, the same in plots, tables and the page."""

import collections
import dataclasses
from collections.abc import Sequence

__all__ = ["COLOURS", "REFINED", "Appearance", "appearances"]

REFINED = "+refine"  # After the name of a model, before the number of steps.


@dataclasses.dataclass(frozen=True)
class Appearance:
  """Of one curve.

  Attributes:
    title: for people.
    colour: as in CSS.
    dash, symbol: of the line and its points, as Matplotlib calls them.
  """

  title: str
  colour: str
  dash: str = "-"
  symbol: str = "o"


# The colours that Okabe and Ito (2008) chose for all kinds of colour vision, without yellow, which
# is too light for lines. Dashes and symbols tell those apart that share one.
_BLUE, _SKY, _GREEN, _ORANGE, _PURPLE = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7"
_VERMILION, _BLACK = "#d55e00", "#000000"
COLOURS = (_BLUE, _GREEN, _ORANGE, _PURPLE, _VERMILION, _SKY, _BLACK)

_CLASSICAL = {
  "jpeg420": Appearance("JPEG 4:2:0", _BLUE, "-", "s"),
  "jpeg444": Appearance("JPEG 4:4:4", _BLUE, "--", "s"),
  "jpeg2000": Appearance("JPEG 2000, equal rates", _GREEN, "-", "^"),
  "jpeg2000_psnr": Appearance("JPEG 2000, equal PSNR", _GREEN, "--", "^"),
  "webp": Appearance("WebP", _ORANGE, "-", "D"),
  "avif": Appearance("AVIF 4:4:4", _PURPLE, "-", "v"),
  "hevc444": Appearance("HEVC 4:4:4", _SKY, "-", "x"),
}
_DASHES = ("-", "--", "-.", ":")
_MODELS = (_VERMILION, _BLACK)


def appearances(codecs: Sequence[str]) -> dict[str, Appearance]:
  """Of each codec. Models take colours in turn; with refined latents they keep their colour."""
  result, colours, lines = {}, {}, collections.Counter()
  for codec in codecs:
    if codec in _CLASSICAL:
      result[codec] = _CLASSICAL[codec]
      continue
    model = codec.partition(REFINED)[0]
    colour = colours.setdefault(model, _MODELS[len(colours) % len(_MODELS)])
    result[codec] = Appearance(codec, colour, _DASHES[lines[colour] % len(_DASHES)])
    lines[colour] += 1
  return result
