"""The symbols at the positions of a step, for arrays or for tensors."""

from typing import Any, Protocol

from bmshj_minnen.coding import fixed_point
from bmshj_minnen.coding.arrays import namespace
from bmshj_minnen.format.tables import MAX_VALUE

__all__ = ["SymbolDecoder", "SymbolEncoder", "SymbolCoder"]


class SymbolCoder(Protocol):
  """The operation of an encoder or a decoder at the positions of one step."""

  def __call__(self, handle: Any, mean: Any, table_index: Any, where: Any) -> tuple[Any, Any]:
    """Moves symbols between the range coder and ŷ; C is M / slices.

    Args:
      handle: the range coder's state.
      mean: [n, C] float32, int16-valued, in units of `y_step`.
      table_index: [n, C] int32, counted from the first table of y.
      where: [n] int32, the indices of these positions; in `SymbolEncoder` rows of y.

    Returns:
      The next state and ŷ [n, C] float32, int16-valued, in units of `y_step`.
    """


class SymbolEncoder:
  """Quantizes y around the means and pushes the differences.

  Args:
    coder: a range coder with the tables of z, then the tables of y.
    unit: the distance of symbols in units of `y_step`.
    first_table: index of the first table of y.
    y: [rows, C] float32, int16-valued, in units of `y_step`.
  """

  def __init__(self, coder: Any, unit: float, first_table: int, y: Any):
    self._coder, self._unit, self._first_table = coder, unit, first_table
    self._y = y

  def __call__(self, handle, mean, table_index, where):
    xp = namespace(mean)
    symbol = xp.round((xp.gather(self._y, where) - mean) / self._unit)
    value = xp.cast(xp.clip_by_value(symbol, -MAX_VALUE, MAX_VALUE), xp.int32)
    handle = self._coder.push(
      handle, xp.reshape(table_index, [-1]) + self._first_table, xp.reshape(value, [-1])
    )
    # Through integers, to avoid -0, which the decoder would not get.
    return handle, fixed_point.saturate(mean + xp.cast(value, xp.float32) * self._unit)


class SymbolDecoder:
  """Pops the differences and adds them to the means.

  Args:
    coder: a range coder with the tables of z, then the tables of y.
    unit: the distance of symbols in units of `y_step`.
    first_table: index of the first table of y.
  """

  def __init__(self, coder: Any, unit: float, first_table: int):
    self._coder, self._unit, self._first_table = coder, unit, first_table

  def __call__(self, handle, mean, table_index, where):
    xp = namespace(mean)
    handle, value = self._coder.pop(handle, xp.reshape(table_index, [-1]) + self._first_table)
    symbol = xp.reshape(xp.cast(value, xp.float32), xp.shape(mean))
    return handle, fixed_point.saturate(mean + symbol * self._unit)
