"""The only autoregressive loop, for arrays and for tensors."""

from typing import Any

from bmshj_minnen.coding import order
from bmshj_minnen.coding.arrays import namespace
from bmshj_minnen.coding.networks import Networks
from bmshj_minnen.coding.symbols import SymbolCoder

__all__ = ["scan", "scan_steps"]


def scan(
  networks: Networks,
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
    coder: `Encoder` or `Decoder`; called with positions in raster order.
    handle: the range coder's state.
    psi: [height * width, ...] from h_s, raster order.
    height, width: size of the image of latents.
    channels: M.

  Returns:
    The next state and ŷ [height * width, M] float32, raster order: int16-valued, in units of
    `y_step`.
  """
  xp, support = namespace(height), networks.context_support
  where = order.coding_order(support, height, width)
  handle, _, latents = scan_steps(
    networks,
    coder,
    handle,
    xp.gather(psi, where),
    where,
    order.empty_ring(support, networks.num_parts, height, width, channels),
    (xp.constant(0, "int32"), order.num_steps(support, height, width)),
    (height, width),
  )
  return handle, xp.gather(latents, xp.invert_permutation(where))


def scan_steps(
  networks: Networks,
  coder: SymbolCoder,
  handle: Any,
  psi: Any,
  where: Any,
  ring: Any,
  steps: tuple[Any, Any],
  size: tuple[Any, Any],
) -> tuple[Any, Any, Any]:
  """Encodes or decodes the latents of some steps: the autoregressive loop.

  Args:
    networks: the exact networks.
    coder: `Encoder` or `Decoder`.
    handle: the range coder's state.
    psi: [n, ...] of any dtype, from h_s, at the positions of these steps in the order of coding.
    where: [n] int32, the indices that `coder` gets for these positions.
    ring: ring buffer of the last S steps, see `order.empty_ring`: their ŷ, split by `networks`. An
      array is overwritten with the next ring.
    steps: the first step and the step after the last.
    size: height and width of the image of latents.

  Returns:
    The next state, the next ring, and ŷ [n, M] float32 in the order of coding: int16-valued, in
    units of `y_step`.
  """
  (first, last), channels, support = steps, ring.shape[-1], networks.context_support
  xp, prepared = namespace(ring), networks.prepare(psi)
  ends = xp.cumsum(order.step_sizes(support, *size)[first:last])
  if support:
    slots, taps = order.slots(support, networks.num_parts, xp.shape(ring)[0], steps, size)

  def step(t, begin, ring, handle):
    end = xp.gather(ends, t - first)
    neighbours = None
    if support:
      neighbours = xp.gather(ring, taps[:, begin:end])
      neighbours = xp.reshape(neighbours, [networks.num_parts, -1, taps.shape[-1] * channels])
    mean, table_index = networks.parameters(prepared[begin:end], neighbours)
    handle, y_hat = coder(handle, mean, table_index, where[begin:end])
    if support:
      ring = xp.tensor_scatter_nd_update(ring, slots[:, begin:end], networks.split(y_hat))
    return (end, ring, handle), y_hat

  begin = xp.constant(0, "int32")
  (_, ring, handle), latents = xp.collect(step, first, last, (begin, ring, handle), channels)
  return handle, ring, latents
