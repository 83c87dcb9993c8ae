"""The model of figure 1, wired in the paper's order, and its loss.

    x --> g_a --> y --+--> round --> ŷ --+--> g_s --> x̂
                      |                  |
                     h_a               g_cm  (already decoded latents only)
                      |                  |
                      z                 phi
                      |                  |
                    round --> ẑ         g_ep --> (mean, scale) of p(ŷ)
                              |          |
                             h_s --psi---+

Training replaces rounding by uniform noise, in the rate, the context and the synthesis alike.
"""

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import NamedTuple, Optional, Union

import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen import entropy, layers, metrics
from bmshj_minnen.layers import noise

__all__ = ["Losses", "Model", "Rate", "losses", "precision_policy"]

_POLICY = threading.RLock()  # Keras has one policy for all threads.


class Rate(NamedTuple):
  """Information content an image, bits, each [B] float32."""

  y_bits: tf.Tensor
  z_bits: tf.Tensor


class Losses(NamedTuple):
  """Scalars of one batch; `loss` = `bpp` + λ · `distortion`, weighted if λ differs by image."""

  loss: tf.Tensor
  bpp: tf.Tensor
  y_bpp: tf.Tensor
  z_bpp: tf.Tensor
  distortion: tf.Tensor


class Model(tf.keras.Model):
  """One model class; priors differ in which parts they have, see `config.PRIORS`.

  =====================  ========  ==========  =========  ============================
  prior                  h_a, h_s  g_cm, g_ep  y_density  p(ŷ)
  =====================  ========  ==========  =========  ============================
  factorized                                   yes        one learned density a channel
  scale_hyperprior       yes                              N(0, scale²), from h_s
  mean_scale_hyperprior  yes                              N(mean, scale²), from h_s
  autoregressive                   yes                    N(mean, scale²), from g_ep
  joint                  yes       yes                    N(mean, scale²), from g_ep
  =====================  ========  ==========  =========  ============================

  Attributes:
    config: what the weights depend on.
    g_a, g_s: analysis and synthesis transforms.
    h_a, h_s, z_density: side information, or None.
    g_cm, g_ep: context model and entropy parameters, or None.
    y_density: of the factorized prior, or None.
    conditional: the `GaussianConditional` of all other priors.
    gains: of a model for many rates, or None. Methods that take `lmbda`, the λ of each image [B]
      float32, take None for a model for one rate; for many rates None is the middle one.
  """

  def __init__(
    self, config: cfg.ModelConfig, gdn_dtype: str = "float32", has_variables: bool = True
  ):
    """With random weights.

    Args:
      config: what the weights depend on.
      gdn_dtype: Keras policy of GDNs.
      has_variables: False in codecs, whose layers get constants instead, see `weights.hold`.

    Raises:
      ValueError: no networks of that name are known, or one gives another shape than it must.
    """
    super().__init__()
    self.config = config
    networks = layers.networks_of(config, gdn_dtype)
    density = functools.partial(
      entropy.FactorizedDensity, num_filters=config.density_filters, has_median=config.medians
    )
    self.h_a = self.h_s = self.z_density = self.g_cm = self.g_ep = self.y_density = None
    self.g_a, self.g_s = networks.g_a(), networks.g_s()
    if config.parts.hyperprior:
      self.h_a, self.h_s = networks.h_a(), networks.h_s()
      self.z_density = density(config.num_filters)
    if config.parts.context:
      self.g_cm = layers.MaskedConv2D(2 * config.latent_channels, config.context_support, "A")
      self.g_ep = networks.g_ep()
    if not config.parts.is_conditional:
      self.y_density = density(config.latent_channels)
    self.conditional = entropy.GaussianConditional(config.scale_output)
    self.gains = None
    if config.gain_lambdas:
      self.gains = layers.Gains(config.latent_channels, config.gain_lambdas)
      self.gains.start_from(config.middle_lambda)
    if has_variables:
      self._create_variables()

  def _create_variables(self):
    """Calls all layers, because Keras makes the variables of most at their first call."""
    side = cfg.LATENT_STRIDE * cfg.HYPER_STRIDE
    x = tf.zeros([1, side, side, 3])
    y = self.analysis(x)
    latents = [1, cfg.HYPER_STRIDE, cfg.HYPER_STRIDE, self.config.latent_channels]
    _check_shape("g_a", x, y, latents)
    if self.h_a is not None:
      _check_shape("h_a", y, self.hyper_analysis(y), [1, 1, 1, self.config.num_filters])
    _check_shape("g_s", y, self.synthesis(y), x.shape)
    self(x, seed=tf.zeros([2], tf.int32))

  def _lambdas(self, lmbda, batch):
    """`lmbda`, or the middle one for each image of a batch."""
    return tf.fill(tf.shape(batch)[:1], self.config.middle_lambda) if lmbda is None else lmbda

  def analysis(self, x: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tf.Tensor:
    """Pixels [B, H, W, 3] in 0..255 -> y [B, ceil(H/16), ceil(W/16), M] float32."""
    y = self.analysis_without_gains(x)
    return y if self.gains is None else y * self.gains.gain(self._lambdas(lmbda, y))

  def analysis_without_gains(self, x: tf.Tensor) -> tf.Tensor:
    """`analysis` of all rates alike."""
    return tf.cast(self.g_a(tf.cast(x, tf.float32) / 255.0), tf.float32)

  def synthesis(self, y_hat: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tf.Tensor:
    """ŷ [B, h, w, M] -> pixels [B, 16 h, 16 w, 3] float32 on the 0..255 scale, not clipped."""
    if self.gains is not None:
      y_hat *= self.gains.inverse(self._lambdas(lmbda, y_hat))
    return self.synthesis_without_gains(y_hat)

  def synthesis_without_gains(self, y_hat: tf.Tensor) -> tf.Tensor:
    """`synthesis` of all rates alike."""
    if self.y_density is not None:
      y_hat = self.y_density.uncentered(y_hat)
    return tf.cast(self.g_s(y_hat), tf.float32) * 255.0

  def hyper_analysis(self, y: tf.Tensor) -> tf.Tensor:
    """Y [B, h, w, M] -> z [B, ceil(h/4), ceil(w/4), N] float32."""
    # Scales alone do not depend on signs (Ballé et al., 2018, figure 4).
    return tf.cast(self.h_a(y if self.config.parts.means else tf.abs(y)), tf.float32)

  def hyper_synthesis(self, z_hat: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """ẑ -> psi [B, h, w, ...] float32, cropped to the `shape` of y."""
    psi = self.h_s(self.z_density.uncentered(z_hat))[:, : shape[1], : shape[2]]
    return tf.cast(psi, tf.float32)

  def parameters(
    self, psi: Optional[tf.Tensor], y_hat: tf.Tensor
  ) -> tuple[Optional[tf.Tensor], tf.Tensor]:
    """Entropy parameters at every position at once.

    Args:
      psi: [B, h, w, ...] float32 from h_s, or None without a hyperprior.
      y_hat: [B, h, w, M]; each position sees only those before it.

    Returns:
      mean and scale, each [B, h, w, M] float32.
    """
    features = psi
    if self.g_cm is not None:
      phi = tf.cast(self.g_cm(y_hat), tf.float32)
      features = self.g_ep(phi if psi is None else tf.concat([psi, phi], -1))
    features = tf.cast(features, tf.float32)
    if not self.config.parts.means:
      return tf.zeros_like(features), self.conditional.scale_of_output(features)
    mean, output = tf.split(features, 2, axis=-1)
    return mean, self.conditional.scale_of_output(output)

  def rate(self, y_hat: tf.Tensor, z_hat: Optional[tf.Tensor]) -> Rate:
    """Bits of given latents (noisy ones in training, coded ones when estimating a file).

    Args:
      y_hat: [B, h, w, M] float32.
      z_hat: [B, ceil(h/4), ceil(w/4), N] float32, or None without a hyperprior.
    """
    z_bits = tf.zeros(tf.shape(y_hat)[:1])
    if self.z_density is not None:
      z_bits = tf.reduce_sum(self.z_density.bits(z_hat), axis=(1, 2, 3))
    return Rate(tf.reduce_sum(self.latent_bits(y_hat, z_hat), axis=(1, 2, 3)), z_bits)

  def latent_bits(self, y_hat: tf.Tensor, z_hat: Optional[tf.Tensor]) -> tf.Tensor:
    """Bits of each ŷ [B, h, w, M], like it; arguments as of `rate`."""
    if self.y_density is not None:
      return self.y_density.bits(y_hat)
    psi = None
    if self.h_a is not None:
      psi = self.hyper_synthesis(z_hat, tf.shape(y_hat))
    return self.conditional.bits(y_hat, *self.parameters(psi, y_hat))

  def call(
    self, x: tf.Tensor, seed: tf.Tensor, lmbda: Optional[tf.Tensor] = None
  ) -> tuple[tf.Tensor, Rate]:
    """The model as it is trained: noise in place of rounding.

    Args:
      x: [B, H, W, 3] in 0..255, H and W multiples of 16.
      seed: [2] int32 for the noise, not negative: of the run, and the step.
      lmbda: see the class.

    Returns:
      x̂ like x, float32 and not clipped, and the rate.
    """
    y = self.analysis(x, lmbda)
    y_tilde = y + _noise(y, seed, 0)
    z_tilde = None
    if self.h_a is not None:
      z = self.hyper_analysis(y)
      z_tilde = z + _noise(z, seed, 1)
    return self.synthesis(y_tilde, lmbda), self.rate(y_tilde, z_tilde)

  def quantized(self, y: tf.Tensor, psi: Optional[tf.Tensor], passes: int = 1) -> tf.Tensor:
    """ŷ like y [B, h, w, M] float32, of all positions at once; psi as of `parameters`.

    A file codes round(y - mean) + mean at each position in turn. Here the context is that of
    round(y), and in each further pass that of the ŷ of the pass before: a position is as in a file
    once all positions that it depends on are.

    Args:
      y: [B, h, w, M].
      psi: from h_s, or None without a hyperprior.
      passes: at least 1; as many as there are positions give the ŷ of a file.
    """
    y_hat = tf.round(y)
    if self.y_density is None:
      for _ in range(passes if self.g_cm is not None else 1):
        mean, _ = self.parameters(psi, y_hat)
        y_hat = tf.round(y - mean) + mean
    return y_hat

  def finishing(self, x: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tuple[tf.Tensor, Rate]:
    """Like `call`, of rounded latents: what a decoder has, and what files cost.

    g_a and h_a get no gradients, because rounding has none; gains get those of the latents (the
    second stage of Z. Guo et al., "Soft then hard: rethinking the quantization in neural image
    compression", ICML 2021).
    """
    lmbda = None if self.gains is None else self._lambdas(lmbda, x)
    y = tf.stop_gradient(self.analysis(x, lmbda))
    if self.gains is not None:
      gain = self.gains.gain(lmbda)
      y *= gain / tf.stop_gradient(gain)
    z_hat = psi = None
    if self.h_a is not None:
      z_hat = tf.stop_gradient(tf.round(self.hyper_analysis(y)))
      psi = self.hyper_synthesis(z_hat, tf.shape(y))
    y_hat = y + tf.stop_gradient(self.quantized(y, psi) - y)
    return self.synthesis(y_hat, lmbda), self.rate(y_hat, z_hat)

  def rounded(self, x: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tuple[tf.Tensor, Rate]:
    """The model with rounding, for validation: no noise, floating point, one parallel pass.

    What `evaluate` and `compress` report comes from files; see `quantized` for the difference.
    """
    y = self.analysis(x, lmbda)
    z_hat = psi = None
    if self.h_a is not None:
      z_hat = tf.round(self.hyper_analysis(y))
      psi = self.hyper_synthesis(z_hat, tf.shape(y))
    y_hat = self.quantized(y, psi)
    return self.synthesis(y_hat, lmbda), self.rate(y_hat, z_hat)


@contextlib.contextmanager
def precision_policy(name: str) -> Iterator[None]:
  """Models that are made meanwhile take this Keras policy, one of `config.PRECISIONS`."""
  with _POLICY:
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
      yield
    finally:
      tf.keras.mixed_precision.set_global_policy(before)


def losses(
  x: tf.Tensor,
  x_hat: tf.Tensor,
  rate: Rate,
  lmbda: Union[float, tf.Tensor],
  distortion: str,
  weights: Union[float, tf.Tensor] = 1.0,
) -> Losses:
  """R + λD (equation 1), batch averages.

  Args:
    x, x_hat: [B, H, W, 3] on the 0..255 scale.
    rate: of the batch.
    lmbda: λ, of all images or [B].
    distortion: "mse", on the 0..255 scale, or "ms_ssim", for 1 - MS-SSIM.
    weights: how much the loss of each image counts, of all images or [B].

  Raises:
    ValueError: there is no such distortion.
  """
  cfg.check_choice("distortion", distortion, cfg.DISTORTIONS)
  x = tf.cast(x, tf.float32)
  pixels = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
  y_bpp, z_bpp = rate.y_bits / pixels, rate.z_bits / pixels
  d = metrics.mse(x, x_hat) if distortion == "mse" else 1 - metrics.ms_ssim(x, x_hat)
  d = tf.cast(d, tf.float32)  # From 1 - MS-SSIM in float64.
  loss = weights * (y_bpp + z_bpp + lmbda * d)
  return Losses(*map(tf.reduce_mean, (loss, y_bpp + z_bpp, y_bpp, z_bpp, d)))


def _check_shape(name, source, result, expected):
  if result.shape != expected:
    shapes = (source.shape, tf.TensorShape(expected), result.shape)
    raise ValueError(f"{name} must make of {shapes[0]} {shapes[1]}, not {shapes[2]}")


def _noise(x, seed, stream):
  """U(-½, ½) of the shape of x, another one for each of two streams."""
  return noise.uniform(tf.shape(x), tf.stack([seed[0], 2 * seed[1] + stream]))
