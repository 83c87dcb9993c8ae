"""Coding one image, whole and in parts, as functions that a benchmark can call."""

import functools

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.coding import autoregressive_loop, tensors
from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.coding.symbols import SymbolEncoder
from bmshj_minnen.format.frozen_prior import FrozenPrior

__all__ = ["PARTS", "Coding"]

# Parts of `Coding.encode` and `Coding.decode`, in the order in which they happen.
PARTS = {
  "encode": ("analysis", "entropy coding", "container"),
  "decode": ("container", "entropy decoding", "synthesis"),
}


class _NoCoder:
  """Stands in for the range coder; its state depends on all symbols that it gets."""

  def push(self, handle, table, value):
    return handle + tf.reduce_sum(table) + tf.reduce_sum(value)


class Coding:
  """An image and a codec; each method does one thing once.

  Attributes:
    bpp: bits per pixel of the file.
  """

  def __init__(self, codec: bmshj_minnen.Codec, frozen: FrozenPrior, image: np.ndarray):
    self._codec, self._image = codec, image
    self._data = codec.compress(image)
    self.bpp = 8 * len(self._data) / (image.shape[0] * image.shape[1])
    latents = codec.latents(self._data)
    *size, channels = latents.y_hat.shape
    height, width = map(tf.constant, size)  # Tensors: the loop is to run in a graph.
    networks = IntegerNetworks(frozen, tensors.exact_dtype(), tensors)
    y = tf.constant(latents.y_hat.reshape(-1, channels) / np.float32(frozen.y_step))
    side = SymbolEncoder(_NoCoder(), networks.unit, 0, y)
    psi = tf.function(lambda z: networks.psi(z, height, width))
    self._psi = functools.partial(psi, tf.constant(latents.z_hat))
    loop = tf.function(
      lambda psi: autoregressive_loop.code_latents(
        networks, side, tf.constant(0), psi, height, width, channels
      )
    )
    self._loop = functools.partial(loop, self._psi())

  def encode(self) -> dict[str, float]:
    """Compresses; returns the seconds of each part."""
    seconds: dict[str, float] = {}
    self._codec.compress(self._image, seconds)
    return seconds

  def decode(self) -> dict[str, float]:
    """Decompresses; returns the seconds of each part."""
    seconds: dict[str, float] = {}
    self._codec.decompress(self._data, seconds)
    return seconds

  def h_s(self) -> None:
    """Runs h_s in integers."""
    self._psi()

  def loop(self) -> None:
    """Runs g_cm and g_ep at all positions in turn, without the range coder."""
    self._loop()
