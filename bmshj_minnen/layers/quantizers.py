"""The rounding of figure 1 and its substitutes: the ways from y to ŷ, and from z to ẑ.

  ====================  ====================================================================
  `additive_noise`      training: y + U(-½, ½), the paper's stand-in for rounding
  `rounding`            validation: all positions at once, with contexts that are nearly right
  `rounding_in_passes`  refinement: the same several times, each with a better context
  `in_turn`             files: each position after the positions that it depends on
  `straight_through`    the end of training: the values of any of these, the gradient of y
  ====================  ====================================================================

A file codes round(y - mean) + mean, and the mean of a position depends on the ŷ before it. So a
quantizer takes y and a function from ŷ to the means. z has no means: it is passed alone, and
rounded to whole numbers. Rounding has no gradient; means keep theirs.
"""

from typing import Callable, Optional

import tensorflow as tf

from bmshj_minnen.layers import noise

__all__ = [
  "MeanOf",
  "Quantizer",
  "additive_noise",
  "in_turn",
  "rounding",
  "rounding_in_passes",
  "straight_through",
]

# ŷ [B, h, w, M] float32 -> the mean of each latent, [B, h, w, M] float32.
MeanOf = Callable[[tf.Tensor], tf.Tensor]
# y [B, h, w, M] float32, and `MeanOf` or nothing -> ŷ [B, h, w, M] float32.
Quantizer = Callable[..., tf.Tensor]


def additive_noise(seed: tf.Tensor, stream: int) -> Quantizer:
  """Adds noise U(-½, ½), a function of the seed.

  Args:
    seed: [2] int32, not negative.
    stream: 0 or 1; each has its own noise.
  """

  def quantize(y, mean_of=None):
    del mean_of  # Noise around the mean is noise around y.
    return y + noise.uniform(tf.shape(y), tf.stack([seed[0], 2 * seed[1] + stream]))

  return quantize


def rounding(y: tf.Tensor, mean_of: Optional[MeanOf] = None) -> tf.Tensor:
  """ŷ [B, h, w, M] float32 of all positions at once, with round(y) as their context."""
  return rounding_in_passes(1)(y, mean_of)


def rounding_in_passes(passes: int) -> Quantizer:
  """Repeats `rounding`; the context of each further pass is the ŷ of the pass before.

  A position equals the file's once all positions that it depends on do.
  """

  def quantize(y, mean_of=None):
    y_hat = _round(y)
    if mean_of is not None:
      for _ in range(passes):
        y_hat = _round_around(mean_of(y_hat), y)
    return y_hat

  return quantize


def in_turn(y: tf.Tensor, mean_of: Optional[MeanOf] = None) -> tf.Tensor:
  """ŷ [B, h, w, M] float32, as in a file: passes of `rounding` until one changes nothing.

  No position depends on itself or on later ones. So there is exactly one such ŷ, and it takes at
  most as many passes as there are latents in an image.
  """
  y_hat = _round(y)
  if mean_of is None:
    return y_hat

  def one_pass(before, _):
    after = _round_around(mean_of(before), y)
    return after, tf.reduce_any(after != before)

  return tf.while_loop(
    lambda _, has_changed: has_changed,
    one_pass,
    (y_hat, tf.constant(True)),
    maximum_iterations=tf.reduce_prod(tf.shape(y)[1:]),
  )[0]


def straight_through(quantizer: Quantizer) -> Quantizer:
  """The values of a quantizer with the gradient of the identity.

  Source: L. Theis et al., "Lossy image compression with compressive autoencoders", ICLR 2017.
  """

  def quantize(y, mean_of=None):
    return y + tf.stop_gradient(quantizer(y, mean_of) - y)

  return quantize


def _round_around(mean, y):
  return _round(y - mean) + mean


def _round(y):
  return tf.stop_gradient(tf.round(y))
