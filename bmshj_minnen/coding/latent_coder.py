"""Latents <-> the payload of a file: the range coder, driven by the frozen prior."""

from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import fixed_point, tiling, wavefront
from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.coding.networks import Networks
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.layers.receptive_field import ReceptiveField

__all__ = ["LatentCoder"]

_NUMBER = tf.TensorSpec([], tf.int32)
_HANDLE = tf.TensorSpec([], tf.variant)  # Of a range coder.


class LatentCoder:
  """Codes ẑ, then y, in exact arithmetic on the CPU.

  `encode_graph` and `decode_graph` take and return tensors, eagerly or within a graph, and hold
  everything at once. `encode` and `decode` do the same to arrays, piece by piece: they keep psi in
  two bytes a number and ŷ, and tensors of some thousand positions only.

  Args:
    frozen: the integer prior.
  """

  def __init__(self, frozen: FrozenPrior):
    self._config = frozen.config
    self._step = frozen.y_step
    fields = [ReceptiveField(layer.support, up=layer.up) for layer in frozen.hyper_layers]
    self._h_s_field = tiling.field("h_s", fields)
    with tf.device("/cpu:0"):
      self._networks = Networks(frozen, fixed_point.exact_dtype())
      self._coder = range_coder.RangeCoder(frozen.tables)
    m = self._config.latent_channels
    z = tf.TensorSpec([None, None, self.z_channels], tf.float32)
    self._psi = Graph(self._psi_of, z)
    self._layout = Graph(self._layout_of, _NUMBER, _NUMBER)
    self._start_encoder = Graph(self._push_z, z)
    self._start_decoder = Graph(self._pop_z, tf.TensorSpec([], tf.string), _NUMBER, _NUMBER)
    y = tf.TensorSpec([None, m], tf.float32)
    self._encode_segment = _SegmentCoder(self._networks, m, self._encoder, y)
    self._decode_segment = _SegmentCoder(self._networks, m, self._decoder)

  @property
  def z_channels(self) -> int:
    """Channels of z, and as many tables before those of y."""
    return self._config.num_filters if self._config.parts.hyperprior else 0

  def encode_graph(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Y [h, w, M] and ẑ [h', w', N] -> the payload, a scalar string, and ŷ like y, float32."""
    with tf.device("/cpu:0"):
      shape = tf.shape(y)
      handle = self._push_z(z_hat)
      encoder = self._encoder(tf.reshape(y, [-1, self._config.latent_channels]))
      handle, y_hat = self._scan(encoder, handle, z_hat, shape[0], shape[1])
      return range_coder.finish_encoder(handle), y_hat

  def decode_graph(
    self, payload: tf.Tensor, height: tf.Tensor, width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The payload of h x w latents -> ŷ [h, w, M], ẑ [h', w', N], and whether it ended well."""
    with tf.device("/cpu:0"):
      handle, z_hat = self._pop_z(payload, height, width)
      handle, y_hat = self._scan(self._decoder(), handle, z_hat, height, width)
      return y_hat, z_hat, range_coder.finish_decoder(handle)

  def encode(
    self,
    y: np.ndarray,
    z_hat: np.ndarray,
    memory: int = tiling.DEFAULT_MEMORY,
    progress: Optional[Callable[[float], None]] = None,
  ) -> tuple[bytes, np.ndarray]:
    """`encode_graph` piece by piece.

    Args:
      y: [h, w, M] float32.
      z_hat: [h', w', N] float32 integers.
      memory: bytes that h_s may take.
      progress: called with the fraction that is done.
    """
    size, flat = y.shape[:2], y.reshape(-1, y.shape[-1])
    with tf.device("/cpu:0"):
      handle = self._start_encoder(z_hat)
      psi = self._psi_array(z_hat, size, memory)
      handle, y_hat = self._scan_arrays(self._encode_segment, handle, size, [psi, flat], progress)
      return range_coder.finish_encoder(handle).numpy(), y_hat

  def decode(
    self,
    payload: bytes,
    height: int,
    width: int,
    memory: int = tiling.DEFAULT_MEMORY,
    progress: Optional[Callable[[float], None]] = None,
  ) -> tuple[np.ndarray, np.ndarray, bool]:
    """`decode_graph` piece by piece.

    Args:
      payload: any bytes.
      height, width: of the image of latents.
      memory: bytes that h_s may take.
      progress: called with the fraction that is done.
    """
    with tf.device("/cpu:0"):
      size = (height, width)
      handle, z_hat = self._start_decoder(payload, height, width)
      z_hat = z_hat.numpy()
      psi = self._psi_array(z_hat, size, memory)
      handle, y_hat = self._scan_arrays(self._decode_segment, handle, size, [psi], progress)
      return y_hat, z_hat, bool(range_coder.finish_decoder(handle))

  def _psi_array(self, z_hat, size, memory):
    """H_s in tiles: [h', w', N] -> [h * w, channels] int16, raster order."""
    units = tiling.units(self._h_s_field, self._config, memory)
    psi = tiling.run(self._h_s_field, lambda z: self._psi(z).numpy(), z_hat, size, units)
    return psi.reshape(size[0] * size[1], -1)

  def _scan_arrays(self, segment_coder, handle, size, at_positions, progress):
    """The loop segment by segment; arrays `at_positions` are in raster order."""
    order, sizes, ring = self._layout(*size)
    order = order.numpy()
    y_hat = np.empty([len(order), self._config.latent_channels], np.float32)
    for segment in wavefront.segments(sizes.numpy()):
      where = order[segment.begin : segment.end]
      parts = [array[where] for array in at_positions]
      handle, ring, part = segment_coder(handle, ring, segment, size, *parts)
      y_hat[where] = part.numpy() * np.float32(self._step)
      if progress:
        progress(segment.end / len(order))
    return handle, y_hat.reshape(*size, -1)

  def _scan(self, coder, handle, z_hat, height, width):
    channels = self._config.latent_channels
    psi = self._networks.psi(z_hat, height, width)
    handle, y_hat = wavefront.scan_graph(
      self._networks, coder, handle, psi, height, width, channels
    )
    return handle, tf.reshape(y_hat * self._step, tf.stack([height, width, channels]))

  def _encoder(self, y):
    y = fixed_point.saturate_graph(y / self._step)
    return wavefront.Encoder(self._coder, self._networks.unit, self.z_channels, y)

  def _decoder(self):
    return wavefront.Decoder(self._coder, self._networks.unit, self.z_channels)

  def _layout_of(self, height, width):
    """The order of coding, the sizes of its steps, and the ring before them."""
    support, parts = self._networks.context_support, self._networks.num_parts
    return (
      wavefront.coding_order_graph(support, height, width),
      wavefront.step_sizes_graph(support, height, width),
      wavefront.empty_ring_graph(support, parts, height, width, self._config.latent_channels),
    )

  def _psi_of(self, z_hat):
    """H_s without cropping: [h', w', N] -> [4 h', 4 w', channels] int16."""
    shape = cfg.HYPER_STRIDE * tf.shape(z_hat)[:2]
    psi = self._networks.psi(z_hat, shape[0], shape[1])
    return tf.cast(tf.reshape(psi, tf.concat([shape, tf.shape(psi)[1:]], 0)), tf.int16)

  def _push_z(self, z_hat):
    handle = self._coder.start_encoder()
    value = tf.cast(tf.reshape(z_hat, [-1]), tf.int32)
    return self._coder.push(handle, self._z_tables(tf.shape(z_hat)), value)

  def _pop_z(self, payload, height, width):
    shape = tf.stack([cfg.hyper_size(height), cfg.hyper_size(width), self.z_channels])
    handle, z_hat = self._coder.pop(self._coder.start_decoder(payload), self._z_tables(shape))
    z_hat = tf.reshape(tf.cast(z_hat, tf.float32), shape)
    return handle, tf.ensure_shape(z_hat, [None, None, self.z_channels])

  def _z_tables(self, z_shape):
    """The table index of each symbol of z: its channel."""
    return tf.tile(tf.range(self.z_channels), [z_shape[0] * z_shape[1]])


class _SegmentCoder:
  """Encodes or decodes segments of any image, in a graph that is traced once.

  Args:
    networks: the exact networks.
    channels: M.
    make_coder: makes a `wavefront.SymbolCoder`, of y if there is a spec of it.
    y: spec of y [n, M], or nothing.
  """

  def __init__(
    self,
    networks: Networks,
    channels: int,
    make_coder: Callable[..., wavefront.SymbolCoder],
    *y: tf.TensorSpec,
  ):
    self._networks, self._make_coder = networks, make_coder
    ring = tf.TensorSpec([None, channels], tf.float32)
    psi = tf.TensorSpec([None, None], tf.int16)
    self._graph = Graph(self._scan_steps, _HANDLE, ring, *[_NUMBER] * 4, psi, *y)

  def __call__(self, handle, ring, segment, size, psi, *y):
    """As `wavefront.scan_steps_graph`; psi and y [n, ...] at the positions of the segment."""
    return self._graph(handle, ring, segment.first_step, segment.last_step, *size, psi, *y)

  def _scan_steps(self, handle, ring, first, last, height, width, psi, *y):
    coder, where = self._make_coder(*y), tf.range(tf.shape(psi)[0])
    return wavefront.scan_steps_graph(
      self._networks, coder, handle, psi, where, ring, (first, last), (height, width)
    )
