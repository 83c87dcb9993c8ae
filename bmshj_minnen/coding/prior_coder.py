"""The steps of coding ẑ and y: the exact networks on a range coder, for arrays and for tensors."""

from typing import Any

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import autoregressive_loop, fixed_point
from bmshj_minnen.coding.mixture_symbols import Cumulatives, MixtureDecoder, MixtureEncoder
from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.coding.symbols import SymbolDecoder, SymbolEncoder
from bmshj_minnen.format.frozen_prior import FrozenPrior

__all__ = ["PriorCoder"]


class PriorCoder:
  """Codes ẑ, then y.

  Args:
    frozen: the integer prior.
    networks: its networks, for arrays or for tensors.
    range_coder: `coding.range_coder.RangeCoder` for arrays, `entropy.range_coder.RangeCoder` for
      tensors.
    xp: the namespace of arrays or of tensors, see `arrays`.

  Attributes:
    networks: the networks that were given.
  """

  def __init__(self, frozen: FrozenPrior, networks: IntegerNetworks, range_coder: Any, xp: Any):
    self._config, self._step = frozen.config, frozen.y_step
    self.networks, self._coder, self._xp = networks, range_coder, xp
    self._cumulatives = Cumulatives(frozen, xp) if frozen.mixture else None

  @property
  def z_channels(self) -> int:
    """The channels of z, and the number of tables before the tables of y."""
    return self._config.num_filters if self._config.parts.hyperprior else 0

  def encode(self, y: Any, z_hat: Any) -> tuple[Any, Any]:
    """Codes y [h, w, M] and ẑ [h', w', N] -> the payload, and ŷ [h, w, M] float32; all at once."""
    shape = self._xp.shape(y)
    channels = self._config.latent_channels // self.networks.schedule.slices
    rows = self._xp.reshape(y, [-1, channels])
    handle = self.push_z(z_hat)
    handle, y_hat = self._code_all(self._encoder(rows), handle, z_hat, shape[0], shape[1])
    return self._coder.finish_encoder(handle), y_hat

  def decode(self, payload: Any, height: Any, width: Any) -> tuple[Any, Any, Any]:
    """Decodes the payload of h x w latents, all at once.

    Returns:
      ŷ [h, w, M] float32, ẑ [h', w', N] float32, and whether the payload ended where its symbols
      did.
    """
    handle, z_hat = self.pop_z(payload, height, width)
    handle, y_hat = self._code_all(self._decoder(), handle, z_hat, height, width)
    return y_hat, z_hat, self._coder.finish_decoder(handle)

  def _code_all(self, coder, handle, z_hat, height, width):
    channels = self._config.latent_channels
    psi = self.networks.psi(z_hat, height, width)
    handle, y_hat = autoregressive_loop.code_latents(
      self.networks, coder, handle, psi, height, width, channels
    )
    return handle, self._xp.reshape(y_hat * self._step, [height, width, channels])

  # The same operations, piece by piece.

  def push_z(self, z_hat: Any) -> Any:
    """ẑ [h', w', N] float32 -> the state of a new encoder."""
    xp = self._xp
    value = xp.cast(xp.reshape(z_hat, [-1]), xp.int32)
    return self._coder.push(self._coder.start_encoder(), self._z_tables(xp.shape(z_hat)), value)

  def pop_z(self, payload: Any, height: Any, width: Any) -> tuple[Any, Any]:
    """The payload of h x w latents -> the state of a new decoder, and ẑ [h', w', N] float32."""
    xp = self._xp
    shape = xp.stack([cfg.hyper_size(height), cfg.hyper_size(width), self.z_channels])
    handle, z_hat = self._coder.pop(self._coder.start_decoder(payload), self._z_tables(shape))
    z_hat = xp.reshape(xp.cast(z_hat, xp.float32), shape)
    return handle, xp.ensure_shape(z_hat, [None, None, self.z_channels])

  def _z_tables(self, shape):
    """The table index of each symbol of z, which is its channel."""
    xp = self._xp
    return xp.tile(xp.range(self.z_channels), [shape[0] * shape[1]])

  def psi(self, z_hat: Any) -> Any:
    """The uncropped psi: ẑ [h', w', N] -> [4 h', 4 w', channels] int16."""
    shape = self._xp.shape(z_hat)
    height, width = cfg.HYPER_STRIDE * shape[0], cfg.HYPER_STRIDE * shape[1]
    psi = self.networks.psi(z_hat, height, width)
    return self._xp.cast(self._xp.reshape(psi, [height, width, psi.shape[1]]), self._xp.int16)

  def encode_steps(
    self,
    number: int,
    handle: Any,
    memory: Any,
    first: Any,
    last: Any,
    height: Any,
    width: Any,
    psi: Any,
    y: Any,
  ) -> tuple[Any, Any, Any]:
    """Encodes the latents of some steps.

    Args:
      number: the number of the pass.
      handle: the encoder's state.
      memory: coded latents, see `passes.Schedule.empty_memory`.
      first, last: the first step and the step after the last.
      height, width: size of the image of latents.
      psi: [n, channels] int16 at the positions of these steps, in the order of coding.
      y: [n, M / slices] float32, at the same positions.

    Returns:
      The next state, the next memory, and ŷ [n, M / slices] float32.
    """
    steps, size = (first, last), (height, width)
    return self._code_steps(number, self._encoder(y), handle, memory, steps, size, psi)

  def decode_steps(
    self,
    number: int,
    handle: Any,
    memory: Any,
    first: Any,
    last: Any,
    height: Any,
    width: Any,
    psi: Any,
  ) -> tuple[Any, Any, Any]:
    """Decodes the latents of some steps.

    Arguments and results are the same as in `encode_steps`, but for y.
    """
    steps, size = (first, last), (height, width)
    return self._code_steps(number, self._decoder(), handle, memory, steps, size, psi)

  def _code_steps(self, number, coder, handle, memory, steps, size, psi):
    where = self._xp.range(self._xp.shape(psi)[0])
    one = self.networks.schedule.passes[number]
    handle, memory, y_hat = autoregressive_loop.code_steps(
      self.networks, one, coder, handle, psi, where, memory, steps, size
    )
    return handle, memory, y_hat * self._step

  def finish_encoder(self, handle: Any) -> Any:
    """The payload."""
    return self._coder.finish_encoder(handle)

  def finish_decoder(self, handle: Any) -> Any:
    """Whether the payload ended where its symbols did."""
    return self._coder.finish_decoder(handle)

  def _encoder(self, y):
    y = fixed_point.saturate(y / self._step)
    encoder = SymbolEncoder if self._cumulatives is None else MixtureEncoder
    return encoder(*self._given, y)

  def _decoder(self):
    decoder = SymbolDecoder if self._cumulatives is None else MixtureDecoder
    return decoder(*self._given)

  @property
  def _given(self):
    """The arguments that encoders and decoders share."""
    given = (self._coder, self.networks.unit, self.z_channels)
    return given if self._cumulatives is None else (self._cumulatives, *given)
