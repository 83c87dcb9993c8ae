"""The inputs on which outputs depend, layer by layer; TensorFlow is not needed."""

import dataclasses

__all__ = ["ReceptiveField", "inputs_of"]


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
  """The receptive field of one layer, equal in both directions; either `down` or `up` is 1.

  Layers of a kind that `layers.receptive_field` does not know need this in an attribute
  `receptive_field`.

  Attributes:
    support: number of inputs on which an output depends; with a stride upwards, number of outputs
      that an input reaches.
    before: number of these samples before down * o for output o, or before up * i for input i. By
      default half of them, rounded down.
    down, up: strides.
  """

  support: int
  down: int = 1
  up: int = 1
  before: int = -1

  def __post_init__(self):
    if self.before < 0:
      object.__setattr__(self, "before", self.support // 2)

  def inputs(self, first: int, last: int) -> tuple[int, int]:
    """The first and the last input on which the outputs from `first` to `last` depend."""
    after = self.support - 1 - self.before
    if self.up > 1:
      return -((after - first) // self.up), (last + self.before) // self.up
    return self.down * first - self.before, self.down * last + after


def inputs_of(fields: list[ReceptiveField], outputs: int) -> tuple[int, int]:
  """The first and the last input, counted from 0, on which outputs 0 to `outputs` - 1 depend."""
  first, last = 0, outputs - 1
  for field in reversed(fields):
    first, last = field.inputs(first, last)
  return first, last
