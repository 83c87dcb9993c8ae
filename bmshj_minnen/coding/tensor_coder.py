"""Latents <-> payload in TensorFlow: in one graph, or piece by piece on arrays."""

from functools import partial
from typing import Callable

import tensorflow as tf

from bmshj_minnen.coding import tensors
from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.coding.prior_coder import PriorCoder
from bmshj_minnen.entropy.range_coder import RangeCoder
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.runtime.forking import refuse_forked
from bmshj_minnen.runtime.graph import Graph

__all__ = ["TensorCoder"]

_NUMBER = tf.TensorSpec([], tf.int32)
_HANDLE = tf.TensorSpec([], tf.variant)  # The state of a range coder.


class TensorCoder:
  """A `latent_coder.Coder` that runs in graphs, on the CPU.

  `encode_graph` and `decode_graph` take and return tensors, eagerly or within a graph, and hold
  everything at once.

  Args:
    frozen: the integer prior.

  Attributes:
    prior: the `PriorCoder` of tensors whose methods are called.
  """

  def __init__(self, frozen: FrozenPrior):
    refuse_forked()
    with tf.device("/cpu:0"):
      networks = IntegerNetworks(frozen, tensors.exact_dtype(), tensors)
      coder = PriorCoder(frozen, networks, RangeCoder(frozen.tables), tensors)
    self.prior = coder
    z = tf.TensorSpec([None, None, coder.z_channels], tf.float32)
    channels = frozen.config.latent_channels // frozen.order.slices
    y = tf.TensorSpec([None, channels], tf.float32)
    steps = (_HANDLE, y, *[_NUMBER] * 4, tf.TensorSpec([None, None], tf.int16))
    self.psi = _on_cpu(coder.psi, z)
    self.push_z = _on_cpu(coder.push_z, z)
    self.pop_z = _on_cpu(coder.pop_z, tf.TensorSpec([], tf.string), _NUMBER, _NUMBER)
    passes = range(len(networks.schedule.passes))
    self._encode = [_on_cpu(partial(coder.encode_steps, i), *steps, y) for i in passes]
    self._decode = [_on_cpu(partial(coder.decode_steps, i), *steps) for i in passes]

  def encode_steps(self, number: int, *args) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`PriorCoder.encode_steps` for the pass of this number, a Python integer."""
    return self._encode[number](*args)

  def decode_steps(self, number: int, *args) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`PriorCoder.decode_steps` for the pass of this number, a Python integer."""
    return self._decode[number](*args)

  def finish_encoder(self, handle: tf.Tensor) -> bytes:
    """The payload."""
    return self.prior.finish_encoder(handle).numpy()

  def finish_decoder(self, handle: tf.Tensor) -> bool:
    """Whether the payload ended where its symbols did."""
    return bool(self.prior.finish_decoder(handle))

  def encode_graph(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Codes y [h, w, M] and ẑ [h', w', N] -> the payload, a string, and ŷ [h, w, M] float32."""
    with tf.device("/cpu:0"):
      return self.prior.encode(y, z_hat)

  def decode_graph(
    self, payload: tf.Tensor, height: tf.Tensor, width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Decodes the payload of h x w latents, a scalar string.

    Returns:
      ŷ [h, w, M] float32, ẑ [h', w', N] float32, and whether the payload ended where its symbols
      did, scalar bool.
    """
    with tf.device("/cpu:0"):
      return self.prior.decode(payload, height, width)


def _on_cpu(function: Callable, *signature: tf.TensorSpec) -> Callable:
  graph = Graph(function, *signature)

  def call(*args):
    refuse_forked()
    with tf.device("/cpu:0"):
      return graph(*args)

  return call
