"""The model of figure 1, wired in the paper's order.

    x --> g_a --> y --+--> round --> ŷ --+--> g_s --> x̂
                      |                  |
                     h_a               g_cm  (already decoded latents only)
                      |                  |
                      z                 phi
                      |                  |
                    round --> ẑ         g_ep --> (mean, scale) of p(ŷ)
                              |          |
                             h_s --psi---+

Training replaces rounding by uniform noise, in the rate, the context and the synthesis alike; or by
another quantizer that has a name.
`Model.forward` is this figure from y on; `layers.quantizers` has all alternatives for "round".
"""

import functools
from typing import NamedTuple, Optional

import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen import entropy, layers
from bmshj_minnen.format import orders
from bmshj_minnen.layers import quantizers
from bmshj_minnen.layers.chain import Chain
from bmshj_minnen.quality import default_lambda

__all__ = ["Model", "Rate"]


class Rate(NamedTuple):
  """Information content per image in bits, each [B] float32."""

  y_bits: tf.Tensor
  z_bits: tf.Tensor


class Model(tf.keras.Model):
  """The model, with all priors; they differ in their parts, see `config.PRIORS`.

  =====================  ========  ==========  =========  ============================
  prior                  h_a, h_s  g_cm, g_ep  y_density  p(ŷ)
  =====================  ========  ==========  =========  ============================
  factorized                                   yes        one density per channel
  scale_hyperprior       yes                              N(0, scale²), from h_s
  mean_scale_hyperprior  yes                              N(mean, scale²), from h_s
  autoregressive                   yes                    N(mean, scale²), from g_ep
  joint                  yes       yes                    N(mean, scale²), from g_ep
  =====================  ========  ==========  =========  ============================

  Attributes:
    config: settings on which the weights depend.
    g_a, g_s: analysis and synthesis transforms.
    h_a, h_s, z_density: side information, or None.
    g_cm, g_ep: context model and entropy parameters, or None.
    y_density: density of y in the factorized model, or None.
    conditional: density of y in other models: `GaussianConditional`, another `Conditional`, or a
      `Mixture`.
    gains: gains of a model for many rates, or None. Methods that take `lmbda`, the λ of each image
      [B] float32, ignore it for a model for one rate; None is the λ of the default quality.
  """

  def __init__(
    self, config: cfg.ModelConfig, gdn_dtype: str = "float32", has_variables: bool = True
  ):
    """Makes a model with random weights.

    Args:
      config: settings on which the weights depend.
      gdn_dtype: Keras policy of GDNs.
      has_variables: False in codecs, whose layers get constants instead, see `weights.hold` and
        `weights.hold_for_refinement`.

    Raises:
      ValueError: the name of the networks, of the density or of the order is unknown, a network
        returns a wrong shape, or M cannot be divided into the slices of the order.
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
      self._make_context(networks, orders.order_of(config.order))
    if not config.parts.is_conditional:
      self.y_density = density(config.latent_channels)
    self.conditional = entropy.conditional_of(config)
    self.gains = None
    if config.gain_lambdas:
      self.gains = layers.Gains(config.latent_channels, config.gain_lambdas)
      self.gains.reset(config.middle_lambda)
    if has_variables:
      self._create_variables()

  def _make_context(self, networks, order):
    channels, support = self.config.latent_channels, self.config.context_support
    if channels % order.slices:
      raise ValueError(
        f"the order {self.config.order!r} has {order.slices} slices, so M must be a multiple of"
        f" {order.slices}, not {channels}"
      )
    masks = [order.masks(support, part) for part in range(order.slices)]
    filters = 2 * channels // order.slices
    self.g_cm = layers.per_slice([layers.MaskedConv2D(filters, mask) for mask in masks])
    self.g_ep = layers.per_slice([networks.g_ep() for _ in masks])

  def _create_variables(self):
    """Builds all layers, and checks the shapes of their results."""
    config, side = self.config, cfg.LATENT_STRIDE * cfg.HYPER_STRIDE
    x, z = [1, side, side, 3], [1, 1, 1, config.num_filters]
    y = [1, cfg.HYPER_STRIDE, cfg.HYPER_STRIDE, config.latent_channels]
    psi = [*y[:3], config.psi_channels]
    _build("g_a", self.g_a, x, y)
    if self.h_a is not None:
      _build("h_a", self.h_a, y, z)
      _build("h_s", self.h_s, z, psi)
    for g_cm, g_ep in self._contexts:
      features = self._features(None if self.h_s is None else tf.zeros(psi), tf.zeros(y), g_cm)
      _build(
        "g_ep", g_ep, features.shape, [*y[:3], config.parameter_channels // len(self._contexts)]
      )
    _build("g_s", self.g_s, y, x)
    self.built = True

  def _lambdas(self, lmbda, batch):
    """`lmbda`, or the λ of the default quality for each image of a batch: [B] float32."""
    return tf.fill(tf.shape(batch)[:1], default_lambda(self.config)) if lmbda is None else lmbda

  def analysis(self, x: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tf.Tensor:
    """Pixels [B, H, W, 3] in 0..255 -> y [B, ceil(H/16), ceil(W/16), M] float32."""
    return self.with_gains(self.analysis_without_gains(x), lmbda)

  def with_gains(self, y: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tf.Tensor:
    """Multiplies the y of `analysis_without_gains` by the gains: [B, h, w, M] -> the same shape."""
    return y if self.gains is None else y * self.gains.gain(self._lambdas(lmbda, y))

  def analysis_without_gains(self, x: tf.Tensor) -> tf.Tensor:
    """Pixels [B, H, W, 3] in 0..255 -> the output of g_a, [B, ceil(H/16), ceil(W/16), M] float32.

    It serves all rates of a model.
    """
    return tf.cast(self.g_a(tf.cast(x, tf.float32) / 255.0), tf.float32)

  def synthesis(self, y_hat: tf.Tensor, lmbda: Optional[tf.Tensor] = None) -> tf.Tensor:
    """ŷ [B, h, w, M] -> pixels [B, 16 h, 16 w, 3] float32 on the 0..255 scale, not clipped."""
    if self.gains is not None:
      y_hat *= self.gains.inverse(self._lambdas(lmbda, y_hat))
    return self.synthesis_without_gains(y_hat)

  def synthesis_without_gains(self, y_hat: tf.Tensor) -> tf.Tensor:
    """Input of g_s [B, h, w, M] -> pixels [B, 16 h, 16 w, 3] float32, 0..255 scale, not clipped."""
    if self.y_density is not None:
      y_hat = self.y_density.uncentered(y_hat)
    return tf.cast(self.g_s(y_hat), tf.float32) * 255.0

  def hyper_analysis(self, y: tf.Tensor) -> tf.Tensor:
    """Side information: y [B, h, w, M] -> z [B, ceil(h/4), ceil(w/4), N] float32."""
    # Without means only scales are predicted, and signs do not change them (Ballé et al., 2018,
    # figure 4).
    return tf.cast(self.h_a(y if self.config.parts.means else tf.abs(y)), tf.float32)

  def hyper_synthesis(self, z_hat: Optional[tf.Tensor], shape: tf.Tensor) -> Optional[tf.Tensor]:
    """ẑ -> psi, cropped to the size of y; None without a hyperprior.

    Args:
      z_hat: [B, ceil(h/4), ceil(w/4), N] float32.
      shape: [4] int32, the shape of y.

    Returns:
      [B, h, w, psi_channels] float32.
    """
    if self.h_s is None:
      return None
    psi = self.h_s(self.z_density.uncentered(z_hat))[:, : shape[1], : shape[2]]
    return tf.cast(psi, tf.float32)

  @property
  def _contexts(self):
    """g_cm and g_ep of each slice."""
    return list(zip(layers.slices_of(self.g_cm), layers.slices_of(self.g_ep)))

  def _features(self, psi, y_hat, g_cm):
    """Inputs of a g_ep: psi, if there is any, and phi, [B, h, w, ...] float32."""
    phi = tf.cast(g_cm(y_hat), tf.float32)
    return phi if psi is None else tf.concat([psi, phi], -1)

  def parameters(self, psi: Optional[tf.Tensor], y_hat: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Entropy parameters at all positions at once.

    Args:
      psi: [B, h, w, ...] float32 from h_s, or None without a hyperprior.
      y_hat: [B, h, w, M]; each position depends only on earlier ones.

    Returns:
      mean and scale, each [B, h, w, M] float32; for a mixture logits of the weights, means and
      scales, each [B, h, w, K, M] float32.
    """
    outputs = [g_ep(self._features(psi, y_hat, g_cm)) for g_cm, g_ep in self._contexts] or [psi]
    outputs = layers.joined(outputs, self.config.latent_channels)
    return self.conditional.parameters(tf.cast(outputs, tf.float32))

  def mean_of(self, psi: Optional[tf.Tensor]) -> Optional[quantizers.MeanOf]:
    """The means of `parameters` as a function of ŷ, for quantizers; None if there are none.

    Symbols of learned densities and of mixtures are whole numbers, without means.

    The function takes ŷ [B, h, w, M] float32 and returns means [B, h, w, M] float32.
    """
    if self.y_density is not None or self.config.components > 1:
      return None
    return lambda y_hat: self.parameters(psi, y_hat)[0]

  def rate(self, y_hat: tf.Tensor, z_hat: Optional[tf.Tensor]) -> Rate:
    """Bits of given latents (noisy ones in training, rounded ones in estimates for a file).

    Args:
      y_hat: [B, h, w, M] float32.
      z_hat: [B, ceil(h/4), ceil(w/4), N] float32, or None without a hyperprior.
    """
    return self._rate(y_hat, z_hat, self.hyper_synthesis(z_hat, tf.shape(y_hat)))

  def _rate(self, y_hat, z_hat, psi):
    z_bits = tf.zeros(tf.shape(y_hat)[:1])
    if self.z_density is not None:
      z_bits = tf.reduce_sum(self.z_density.bits(z_hat), axis=(1, 2, 3))
    return Rate(tf.reduce_sum(self._latent_bits(y_hat, psi), axis=(1, 2, 3)), z_bits)

  def latent_bits(self, y_hat: tf.Tensor, z_hat: Optional[tf.Tensor]) -> tf.Tensor:
    """Bits of each ŷ: [B, h, w, M] float32.

    Args:
      y_hat: [B, h, w, M] float32.
      z_hat: [B, ceil(h/4), ceil(w/4), N] float32, or None without a hyperprior.
    """
    return self._latent_bits(y_hat, self.hyper_synthesis(z_hat, tf.shape(y_hat)))

  def _latent_bits(self, y_hat, psi):
    if self.y_density is not None:
      return self.y_density.bits(y_hat)
    return self.conditional.bits(y_hat, *self.parameters(psi, y_hat))

  def forward(
    self,
    y: tf.Tensor,
    lmbda: Optional[tf.Tensor],
    quantize_y: quantizers.Quantizer,
    quantize_z: quantizers.Quantizer,
  ) -> tuple[tf.Tensor, Rate]:
    """The forward pass from y on; training, validation and refinement differ in their quantizers.

    Args:
      y: [B, h, w, M] float32, from `analysis`.
      lmbda: λ of each image, [B] float32, see the class.
      quantize_y, quantize_z: quantizers from y to ŷ and from z to ẑ, see `layers.quantizers`.

    Returns:
      x̂ [B, 16 h, 16 w, 3] float32 on the 0..255 scale, not clipped, and the rate.
    """
    y_hat, rate = self.quantized(y, quantize_y, quantize_z)
    return self.synthesis(y_hat, lmbda), rate

  def quantized(
    self, y: tf.Tensor, quantize_y: quantizers.Quantizer, quantize_z: quantizers.Quantizer
  ) -> tuple[tf.Tensor, Rate]:
    """The part of `forward` before the synthesis; arguments are the same.

    Returns:
      ŷ [B, h, w, M] float32 and the rate.
    """
    z_hat = None if self.h_a is None else quantize_z(self.hyper_analysis(y))
    psi = self.hyper_synthesis(z_hat, tf.shape(y))
    y_hat = quantize_y(y, self.mean_of(psi))
    return y_hat, self._rate(y_hat, z_hat, psi)

  def call(
    self,
    x: tf.Tensor,
    seed: tf.Tensor,
    lmbda: Optional[tf.Tensor] = None,
    quantizer: str = cfg.PAPERS_QUANTIZER,
  ) -> tuple[tf.Tensor, Rate]:
    """The model in training: noise in place of rounding, or another quantizer.

    Args:
      x: [B, H, W, 3] in 0..255, H and W multiples of 16.
      seed: [2] int32 for the noise, not negative: seed of the run, and number of the step.
      lmbda: λ of each image, [B] float32, see the class.
      quantizer: a name in `quantizers.names`.

    Returns:
      x̂ [B, H, W, 3] float32 on the 0..255 scale, not clipped, and the rate.
    """
    pair = quantizers.for_training(quantizer, seed)
    return self.forward(self.analysis(x, lmbda), lmbda, *pair)

  def rate_of_latents(
    self,
    y: tf.Tensor,
    seed: tf.Tensor,
    lmbda: Optional[tf.Tensor] = None,
    quantizer: str = cfg.PAPERS_QUANTIZER,
  ) -> Rate:
    """The rate of `call` from the latents on, to train a prior with fixed transforms.

    Args:
      y: [B, h, w, M] float32, from `analysis_without_gains`.
      seed: [2] int32 for the noise, see `call`.
      lmbda: λ of each image, [B] float32, see the class.
      quantizer: a name in `quantizers.names`.
    """
    pair = quantizers.for_training(quantizer, seed)
    return self.quantized(self.with_gains(y, lmbda), *pair)[1]

  def forward_rounded(
    self, x: tf.Tensor, lmbda: Optional[tf.Tensor] = None
  ) -> tuple[tf.Tensor, Rate]:
    """The model with rounding, for validation: no noise, floating point, one parallel pass.

    Takes x [B, H, W, 3] and λ, and returns x̂ [B, H, W, 3] and the rate, as `call` does. `evaluate`
    and `compress` report values from files, whose latents are rounded in turn.
    """
    rounding = quantizers.rounding
    return self.forward(self.analysis(x, lmbda), lmbda, rounding, rounding)

  def forward_straight_through(
    self, x: tf.Tensor, lmbda: Optional[tf.Tensor] = None
  ) -> tuple[tf.Tensor, Rate]:
    """The values of `forward_rounded`, with gradients for the end of training.

    g_a and h_a get no gradients, because rounding has none; gains get the gradients of ŷ (the
    second stage of Z. Guo et al., "Soft then hard: rethinking the quantization in neural image
    compression", ICML 2021). Takes x [B, H, W, 3] and λ, and returns x̂ [B, H, W, 3] and the rate,
    as `call` does.
    """
    y = self.with_gains(tf.stop_gradient(self.analysis_without_gains(x)), lmbda)
    straight_through = quantizers.straight_through(quantizers.rounding)
    return self.forward(y, lmbda, straight_through, quantizers.rounding)


def _build(name, network, shape, expected):
  """Creates a network's variables, and refuses results of another shape than expected."""
  if isinstance(network, Chain):
    with tf.name_scope(network.name):
      network.build(shape)
    result = tf.TensorShape(network.compute_output_shape(shape))
  else:  # Keras makes the variables of most layers at their first call.
    result = network(tf.zeros(shape)).shape
  if result != expected:
    shape, expected = map(tf.TensorShape, (shape, expected))
    raise ValueError(f"{name} must make of {shape} {expected}, not {result}")
