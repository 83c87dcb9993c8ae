"""The rounding of figure 1 and its substitutes: the ways from y to ŷ, and from z to ẑ.

  ====================  ====================================================================
  `additive_noise`      training: y + U(-½, ½), the paper's stand-in for rounding
  `universal`           training: round(y + u) - u, one u for each image
  `rounding`            validation: all positions at once, with contexts that are nearly right
  `rounding_in_passes`  refinement: the same several times, each with a better context
  `in_turn`             files: each position after the positions that it depends on
  `straight_through`    training: the values of any of these, the gradient of y
  ====================  ====================================================================

A file codes round(y - mean) + mean, and the mean of a position depends on the ŷ before it. So a
quantizer takes y and a function from ŷ to the means. z has no means: it is passed alone, and
rounded to whole numbers. Rounding has no gradient; means keep theirs.

Training chooses its quantizers by name (`for_training`), and `register` adds names. They change
how the weights are learned, but not what a file means: files are always rounded in turn.
"""

from typing import Callable, Optional

import tensorflow as tf

from bmshj_minnen.config import PAPERS_QUANTIZER
from bmshj_minnen.layers import noise

__all__ = [
  "MeanOf",
  "Pair",
  "Quantizer",
  "additive_noise",
  "check",
  "for_training",
  "in_turn",
  "names",
  "register",
  "rounding",
  "rounding_in_passes",
  "straight_through",
  "universal",
]

# ŷ [B, h, w, M] float32 -> the mean of each latent, [B, h, w, M] float32.
MeanOf = Callable[[tf.Tensor], tf.Tensor]
# y [B, h, w, M] float32, and `MeanOf` or nothing -> ŷ [B, h, w, M] float32.
Quantizer = Callable[..., tf.Tensor]
# The quantizers of y and of z.
Pair = tuple[Quantizer, Quantizer]

_BY_NAME: dict[str, Callable[[tf.Tensor], Pair]] = {}


def register(name: str) -> Callable[[Callable[[tf.Tensor], Pair]], Callable[[tf.Tensor], Pair]]:
  """Decorates the function that makes the quantizers of y and z for training under this name.

  The function takes the seed, [2] int32: the seed of the run, and the number of the step.

  Raises:
    ValueError: the name belongs to another function.
  """

  def add(make):
    known = _BY_NAME.get(name)
    # A notebook cell that runs twice defines the same function again.
    if known and (known.__module__, known.__qualname__) != (make.__module__, make.__qualname__):
      raise ValueError(f"quantizer {name!r} is {known.__module__}.{known.__qualname__} already")
    _BY_NAME[name] = make
    return make

  return add


def names() -> list[str]:
  """The names for `for_training`."""
  return list(_BY_NAME)


def check(name: str) -> None:
  """Checks that a name is one of `names`.

  Raises:
    ValueError: nothing is registered under this name.
  """
  if name not in _BY_NAME:
    raise ValueError(
      f"unknown quantizer {name!r}: choose one of {', '.join(_BY_NAME)}, or import the module that "
      "registers it first, as with --import=MODULE"
    )


def for_training(name: str, seed: tf.Tensor) -> Pair:
  """The quantizers of y and z that have a name.

  Args:
    name: one of `names`.
    seed: [2] int32, not negative: the seed of the run, and the number of the step.

  Raises:
    ValueError: nothing is registered under this name.
  """
  check(name)
  return _BY_NAME[name](seed)


def additive_noise(seed: tf.Tensor, stream: int) -> Quantizer:
  """Adds noise U(-½, ½), a function of the seed.

  Args:
    seed: [2] int32, not negative.
    stream: 0 or 1; each has its own noise.
  """

  def quantize(y, mean_of=None):
    del mean_of  # Noise around the mean is noise around y.
    return y + noise.uniform(tf.shape(y), _stream(seed, stream))

  return quantize


def universal(seed: tf.Tensor, stream: int) -> Quantizer:
  """Rounds with a random offset: round(y + u) - u, with one u from U(-½, ½) for each image.

  The error of a latent is uniform, as with noise, but the errors of an image are tied to one
  another as those of rounding are. The gradient is that of the identity. With a u for each latent
  it would be distributed as noise is.

  Source: J. Ziv, "On universal quantization", IEEE Trans. Inf. Theory 31(3), 1985; E. Agustsson and
  L. Theis, "Universally quantized neural compression", NeurIPS 2020. One u for each image is a
  choice of this project.

  Args:
    seed: [2] int32, not negative.
    stream: 0 or 1; each has its own offset.
  """

  def rounded(y, mean_of=None):
    del mean_of  # u has no preferred value, so that a mean would only shift it.
    one = tf.concat([tf.shape(y)[:1], tf.ones([tf.rank(y) - 1], tf.int32)], 0)
    u = noise.uniform(one, _stream(seed, stream))
    return _round(y + u) - u

  return straight_through(rounded)


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


def _stream(seed, stream):
  return tf.stack([seed[0], 2 * seed[1] + stream])


@register(PAPERS_QUANTIZER)
def _papers(seed):
  return additive_noise(seed, 0), additive_noise(seed, 1)


@register("straight_through")
def _straight_through(seed):
  del seed
  return straight_through(rounding), straight_through(rounding)


@register("universal")
def _universal(seed):
  return universal(seed, 0), universal(seed, 1)


@register("in_turn")
def _in_turn(seed):
  del seed
  return straight_through(in_turn), straight_through(in_turn)
