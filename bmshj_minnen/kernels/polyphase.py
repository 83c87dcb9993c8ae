"""Transposed convolutions in polyphase form: ordinary ones, which matrix products can compute."""

import tensorflow as tf

from bmshj_minnen.format.geometry import polyphase_support

__all__ = ["interleave", "polyphase"]


def polyphase(kernel: tf.Tensor, stride: int = 2, mirrored: bool = False) -> tf.Tensor:
  """The kernel of an ordinary convolution that computes stride x stride outputs per position.

  Output s i + p takes input i + d (d = -D to D) through tap p + support // 2 - s d, if that tap
  exists.

  Args:
    kernel: [support, support, in, out], the kernel of `SignalConv2D(corr=False,
      strides_up=stride)`, support odd.
    stride: s.
    mirrored: whether the inputs are turned upside down and left to right.

  Returns:
    [2 D + 1, 2 D + 1, in, s² out], channels in the order of `tf.nn.depth_to_space`.
  """
  support, channels = int(kernel.shape[0]), kernel.shape[2:]
  side = polyphase_support(support, stride)
  before = side // 2 * stride - support // 2
  padding = (before, side * stride - support - before)
  padded = tf.pad(kernel, [padding, padding, (0, 0), (0, 0)])
  # Padded tap s a + p belongs to d = D - a.
  taps = tf.reshape(padded, [side, stride, side, stride, *channels])
  taps = taps[:, ::-1, :, ::-1] if mirrored else taps[::-1, :, ::-1]
  outputs = tf.transpose(taps, [0, 2, 4, 1, 3, 5])  # [a, a, in, p, p, out]
  return tf.reshape(outputs, [side, side, channels[0], stride**2 * channels[1]])


def interleave(x: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
  """`tf.nn.depth_to_space(x, 2)` by a transposition, for which other runtimes have faster code.

  Args:
    x: [B, h, w, 4 channels].
    size: [3] int32: B, h, w. Take it from another tensor of that size, or else ONNX Runtime lays x
      out twice.

  Returns:
    [B, 2 h, 2 w, channels].
  """
  batch, height, width = tf.unstack(size)
  channels = x.shape[-1] // 4
  x = tf.reshape(x, [batch, height, width, 2, 2, channels])
  x = tf.transpose(x, [0, 1, 3, 2, 4, 5])
  return tf.reshape(x, [batch, 2 * height, 2 * width, channels])
