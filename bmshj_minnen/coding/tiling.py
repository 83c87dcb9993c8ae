"""Networks on large images: tile by tile in bounded memory, with the result of the whole image.

A network sees a tile with a halo of real neighbours that covers the receptive field. Only outputs
that depend on nothing beyond the halo are kept. At a border of the image a tile ends with the
image, so that zeros are padded there, and only there, layer by layer as in the whole image. All
tiles except some at the right and lower border have the same shape, because TensorFlow prepares for
each shape anew.
"""

import dataclasses
import math
import operator
import sys
from collections.abc import Sequence
from typing import Callable, NamedTuple, Optional

import numpy as np
import PIL.Image

from bmshj_minnen.config import HYPER_STRIDE, LATENT_STRIDE, ModelConfig
from bmshj_minnen.receptive_field import ReceptiveField, inputs_of

__all__ = [
  "DEFAULT_MEMORY",
  "SCALES",
  "TileGeometry",
  "Region",
  "Span",
  "box_of",
  "geometry_of",
  "reduced",
  "refinement",
  "run",
  "seen",
  "spans",
  "units",
  "window",
]

DEFAULT_MEMORY = 2**30
SCALES = (1, 1 / 2, 1 / 4, 1 / 8)  # Scales of pictures; their boxes divide the unit of g_s.
_MIN_SIDE = 16  # Units; smaller tiles would be mostly halo.


# For each network: rows (and columns) of source and result in a unit, and bytes per unit and filter
# while it runs. Bytes are measured as the growth of resident memory, on tiles of some thousand
# units: with TensorFlow 2.14 at N = M = 96 and 192, with ONNX Runtime 1.32 at N = 96 and M = 192.
# The larger of both counts.
_UNITS = {
  "g_a": (LATENT_STRIDE, 1, 1300),
  "h_a": (HYPER_STRIDE, 1, 300),
  "h_s": (1, HYPER_STRIDE, 5000),
  "g_s": (1, LATENT_STRIDE, 2400),
}
# Pixels more than four units away hardly influence the best value of a latent.
_REFINEMENT_HALO = 4
_REFINEMENT_MEMORY = 2400


@dataclasses.dataclass(frozen=True)
class TileGeometry:
  """The inputs around an output that a network needs, in units.

  A unit is one sample at the network's end of lower resolution.

  Attributes:
    inputs, outputs: rows (and columns) of source and result in a unit.
    before, after: units above (left) and below (right) of a unit on which it depends.
    memory: bytes per unit and filter while the network runs; 0: the network is not divided.
  """

  inputs: int
  outputs: int
  before: int
  after: int
  memory: int


def geometry_of(name: str, layers: Optional[list[ReceptiveField]]) -> TileGeometry:
  """The geometry of a network.

  Args:
    name: "g_a", "h_a", "h_s" or "g_s".
    layers: receptive fields from input to output; empty for priors without side information; None
      if unknown, so that the network is not divided.

  Raises:
    ValueError: the strides of the layers have a wrong product.
  """
  inputs, outputs, memory = _UNITS[name]
  if not layers:
    return TileGeometry(inputs, outputs, 0, 0, 0)
  strides = math.prod(layer.down for layer in layers), math.prod(layer.up for layer in layers)
  if strides != (inputs, outputs):
    raise ValueError(
      f"the strides of {name} must make {inputs} downwards and {outputs} upwards, not"
      f" {strides[0]} and {strides[1]}"
    )
  first, last = inputs_of(layers, outputs)
  return TileGeometry(inputs, outputs, -(first // inputs), last // inputs, memory)


def refinement(g_a: TileGeometry, period: int = 1) -> TileGeometry:
  """The field of refinement.

  Args:
    g_a: the field of the model's g_a.
    period: rows and columns of latents at multiples of which tiles begin, because the order of
      coding repeats after them.
  """
  before, after = (
    math.ceil(max(halo, _REFINEMENT_HALO) / period) for halo in (g_a.before, g_a.after)
  )
  memory = _REFINEMENT_MEMORY * period**2 if g_a.memory else 0
  return TileGeometry(period * g_a.inputs, period * g_a.outputs, before, after, memory)


class Span(NamedTuple):
  """One axis of a tile, in units: it sees `begin` to `end`, and `first` to `last` are kept."""

  begin: int
  end: int
  first: int
  last: int


class Region(NamedTuple):
  """A rectangle of an image, pixels."""

  left: int
  top: int
  width: int
  height: int

  @classmethod
  def within(cls, values: Sequence[int], width: int, height: int) -> "Region":
    """Left, top, width and height as a region of an image of this size.

    Raises:
      TypeError: they are not four whole numbers.
      ValueError: the region is empty, or not within the image.
    """
    try:
      region = cls(*map(operator.index, values))
    except TypeError as error:
      raise TypeError(
        f"a region is four whole numbers, left, top, width and height, not {values}"
      ) from error
    is_within = min(region.left, region.top) >= 0 and min(region.width, region.height) >= 1
    is_within &= region.left + region.width <= width and region.top + region.height <= height
    if not is_within:
      text = ",".join(map(str, region))
      raise ValueError(
        f"the region {text} (left, top, width, height) is not within {width}x{height}"
      )
    return region

  @property
  def rows(self) -> slice:
    """Its rows."""
    return slice(self.top, self.top + self.height)

  @property
  def columns(self) -> slice:
    """Its columns."""
    return slice(self.left, self.left + self.width)


def box_of(scale: float) -> int:
  """The side of the boxes of pixels that one pixel of a scaled picture is the mean of.

  Raises:
    ValueError: the scale is not one of `SCALES`.
  """
  if scale not in SCALES:
    raise ValueError(f"scales are 1, 1/2, 1/4 and 1/8, not {scale}")
  return round(1 / scale)


def reduced(pixels: np.ndarray, box: int) -> np.ndarray:
  """Means of boxes of pixels, rounded; boxes at the right and lower border may be smaller.

  Args:
    pixels: [H, W, 3] uint8.
    box: side of the boxes.

  Returns:
    [ceil(H / box), ceil(W / box), 3] uint8.
  """
  return pixels if box == 1 else np.asarray(PIL.Image.fromarray(pixels).reduce(box))


def seen(samples: slice, size: int, field: TileGeometry) -> slice:
  """The units that some samples of a result depend on; all, if the network is not divided.

  Args:
    samples: rows or columns of the result.
    size: units of the whole axis.
    field: field of the network.
  """
  if not field.memory:
    return slice(0, size)
  begin = max(0, samples.start // field.outputs - field.before)
  end = min(size, math.ceil(samples.stop / field.outputs) + field.after)
  return slice(begin, end)


def spans(size: int, length: int, field: TileGeometry) -> list[Span]:
  """Divides an axis of `size` units among tiles that see `length` units each."""
  if length >= size:
    return [Span(0, size, 0, size)]
  overlap = field.before + field.after
  result: list[Span] = []
  for k in range(math.ceil((size - overlap) / (length - overlap))):
    # The last tile is moved back so that it has the shape of the others.
    begin = min(k * (length - overlap), size - length)
    end = begin + length
    first = result[-1].last if result else 0
    result.append(Span(begin, end, first, size if end == size else end - field.after))
  return result


def units(field: TileGeometry, config: ModelConfig, memory: int) -> int:
  """The largest tile, in units, for which a network takes at most `memory` bytes."""
  if not field.memory:
    return sys.maxsize
  return memory // (field.memory * max(config.num_filters, config.latent_channels))


def window(height: int, width: int, units: int, field: TileGeometry) -> tuple[int, int]:
  """Rows and columns that a tile sees: at most `units` units, but at least 16x16.

  An image that fits is not divided. Otherwise tiles are about square, and of about equal size.

  Args:
    height, width: size of the image, in units.
    units: the largest tile, in units.
    field: the field of the network.
  """
  side = max(_MIN_SIDE, math.isqrt(units))
  columns = min(width, side)
  rows = min(height, max(side, units // columns))
  columns = min(width, max(columns, units // rows))
  return _even(height, rows, field), _even(width, columns, field)


def _even(size, length, field):
  if length >= size:
    return size
  overlap = field.before + field.after
  count = math.ceil((size - overlap) / (length - overlap))
  return math.ceil((size - overlap) / count) + overlap


def run(
  field: TileGeometry,
  function: Callable[[np.ndarray], np.ndarray],
  source: np.ndarray,
  shape: tuple[int, int],
  units: int,
  progress: Optional[Callable[[float], None]] = None,
  box: int = 1,
) -> np.ndarray:
  """Applies a network to an image.

  Args:
    field: the field of the network.
    function: the network, [h, w, C] -> [h', w', C']; `inputs` rows become `outputs` rows. It must
      itself pad its input to whole units.
    source: [H, W, C].
    shape: rows and columns of the result; further ones are cut off.
    units: the largest tile, in units.
    progress: if given, called with the fraction that is done.
    box: if above 1, the result is pixels, which are reduced tile by tile, see `reduced`; it must
      divide the outputs of a unit.

  Returns:
    [*shape, C'] of the function's dtype; with a box, each side divided by it and rounded up.
  """
  height, width = (math.ceil(size / field.inputs) for size in source.shape[:2])
  rows, columns = window(height, width, units, field)
  tiles = [(i, j) for i in spans(height, rows, field) for j in spans(width, columns, field)]
  result = None
  for done, (i, j) in enumerate(tiles, 1):
    part = function(
      source[_scaled(i.begin, i.end, field.inputs), _scaled(j.begin, j.end, field.inputs)]
    )
    # The last tile may reach beyond the result.
    part = part[: shape[0] - i.begin * field.outputs, : shape[1] - j.begin * field.outputs]
    part = np.ascontiguousarray(reduced(part, box))
    if len(tiles) == 1:
      result = part
    else:
      if result is None:
        size = (-(-side // box) for side in shape)
        result = np.empty([*size, part.shape[-1]], part.dtype)
      _keep(result, part, i, j, field.outputs // box)
    if progress:
      progress(done / len(tiles))
  return result


def _keep(result, part, i, j, outputs):
  """Copies the part of a tile that is kept."""
  target = result[_scaled(i.first, i.last, outputs), _scaled(j.first, j.last, outputs)]
  top, left = (i.first - i.begin) * outputs, (j.first - j.begin) * outputs
  target[...] = part[top : top + target.shape[0], left : left + target.shape[1]]


def _scaled(begin, end, scale):
  return slice(begin * scale, end * scale)
