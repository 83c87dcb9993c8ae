"""The autoregressive loop: one for all orders, for encoding and decoding, in any runtime.

The steps of an order, such as the diagonals of the wavefront, are in `coding.passes`.
"""

from typing import Any

from bmshj_minnen.coding.arrays import namespace
from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.coding.passes import Pass
from bmshj_minnen.coding.symbols import SymbolCoder

__all__ = ["code_latents", "code_steps"]


def code_latents(
  networks: IntegerNetworks,
  coder: SymbolCoder,
  handle: Any,
  psi: Any,
  height: Any,
  width: Any,
  channels: int,
) -> tuple[Any, Any]:
  """Encodes or decodes all latents of an image.

  Args:
    networks: the exact networks.
    coder: writes or reads symbols; called with rows of the latents, see `symbols`.
    handle: the range coder's state.
    psi: [height * width, ...] from h_s, raster order.
    height, width: size of the image of latents.
    channels: M.

  Returns:
    The next state and ŷ [height * width, M] float32, raster order: int16-valued, in units of
    `y_step`.
  """
  xp, schedule = namespace(height), networks.schedule
  memory = schedule.empty_memory(networks.num_parts, height, width, channels)
  size = (height * width * schedule.slices, channels // schedule.slices)
  y_hat = xp.zeros(size, xp.float32)
  for one in schedule.passes:
    where = one.positions(height, width)
    rows = where * schedule.slices + one.part
    steps = (xp.constant(0, "int32"), xp.shape(one.step_sizes(height, width))[0])
    handle, memory, latents = code_steps(
      networks, one, coder, handle, xp.gather(psi, where), rows, memory, steps, (height, width)
    )
    y_hat = xp.tensor_scatter_nd_update(y_hat, rows[:, None], latents)
  return handle, xp.reshape(y_hat, [height * width, channels])


def code_steps(
  networks: IntegerNetworks,
  one: Pass,
  coder: SymbolCoder,
  handle: Any,
  psi: Any,
  where: Any,
  memory: Any,
  steps: tuple[Any, Any],
  size: tuple[Any, Any],
) -> tuple[Any, Any, Any]:
  """Encodes or decodes the latents of some steps of a pass: the autoregressive loop.

  Args:
    networks: the exact networks.
    one: the pass.
    coder: writes or reads symbols, see `symbols`.
    handle: the range coder's state.
    psi: [n, ...] of any dtype, from h_s, at the positions of these steps in the order of coding.
    where: [n] int32, the indices that `coder` gets for these positions.
    memory: coded ŷ, see `passes.Schedule.empty_memory`, split by `networks`. An array is
      overwritten with the next memory.
    steps: the first step and the step after the last.
    size: height and width of the image of latents.

  Returns:
    The next state, the next memory, and ŷ [n, M / slices] float32 in the order of coding:
    int16-valued, in units of `y_step`.
  """
  (first, last), channels = steps, memory.shape[-1]
  xp, prepared = namespace(memory), networks.prepare(psi, one.part)
  ends = xp.cumsum(one.step_sizes(*size)[first:last])
  if one.has_context:
    slots, taps = one.slots(networks.num_parts, xp.shape(memory)[0], steps, size)
    fan_in = taps.shape[-1] * channels

  def step(t, begin, memory, handle):
    end = xp.gather(ends, t - first)
    neighbours = None
    if one.has_context:
      neighbours = xp.gather(memory, taps[:, begin:end])
      neighbours = xp.reshape(neighbours, [networks.num_parts, end - begin, fan_in])
    parameters = networks.parameters(prepared[begin:end], neighbours, one.part)
    handle, y_hat = coder(handle, *parameters, where[begin:end])
    if one.has_context:
      memory = xp.tensor_scatter_nd_update(memory, slots[:, begin:end], networks.split(y_hat))
    return (end, memory, handle), y_hat

  begin = xp.constant(0, "int32")
  (_, memory, handle), latents = xp.collect(step, first, last, (begin, memory, handle), channels)
  return handle, memory, latents
