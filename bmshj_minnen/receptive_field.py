"""What a part of a result depends on, layer by layer; TensorFlow is not needed."""

import dataclasses

__all__ = ["ReceptiveField", "inputs_of"]


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
  """Of one layer, the same vertically and horizontally; either `down` or `up` is 1.

  A layer of a kind that `layers.receptive_field` does not know says it as its attribute
  `receptive_field`.

  Attributes:
    support: samples. Downwards an output depends on so many inputs; upwards an input reaches so
      many outputs.
    before: of those, how many come before down * o for output o, or before up * i for input i.
      By default half of them, rounded down.
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
    """The first and the last input that the outputs from `first` to `last` depend on."""
    after = self.support - 1 - self.before
    if self.up > 1:
      return -((after - first) // self.up), (last + self.before) // self.up
    return self.down * first - self.before, self.down * last + after


def inputs_of(fields: list[ReceptiveField], outputs: int) -> tuple[int, int]:
  """The first and the last input, counted from 0, that outputs 0 to `outputs` - 1 depend on."""
  first, last = 0, outputs - 1
  for field in reversed(fields):
    first, last = field.inputs(first, last)
  return first, last
