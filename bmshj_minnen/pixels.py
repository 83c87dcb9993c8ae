"""Pixels before g_a and behind g_s."""

import tensorflow as tf

from bmshj_minnen import config

__all__ = ["pad_to_latents", "to_uint8"]


def pad_to_latents(image: tf.Tensor) -> tf.Tensor:
  """Repeats the last row and column: [..., H, W, 3] -> [..., 16 ceil(H/16), 16 ceil(W/16), 3]."""
  shape = tf.shape(image)
  height, width = (config.LATENT_STRIDE * config.latent_size(shape[axis]) for axis in (-3, -2))
  rows = tf.minimum(tf.range(height), shape[-3] - 1)
  columns = tf.minimum(tf.range(width), shape[-2] - 1)
  return tf.gather(tf.gather(image, rows, axis=-3), columns, axis=-2)


def to_uint8(x_hat: tf.Tensor) -> tf.Tensor:
  """Pixels [...] float on the 0..255 scale -> the nearest levels, [...] uint8.

  OpenVINO and LiteRT lack the operation `tf.saturate_cast`.
  """
  return tf.cast(tf.clip_by_value(tf.round(x_hat), 0, 255), tf.uint8)
