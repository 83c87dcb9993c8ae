"""The networks of a model: the paper's, or others that are registered under another name."""

import functools
from typing import Callable, Optional

import tensorflow as tf

from bmshj_minnen.config import PAPERS_NETWORKS, ModelConfig
from bmshj_minnen.format import orders
from bmshj_minnen.layers import transforms
from bmshj_minnen.layers.entropy_parameters import EntropyParameters

__all__ = ["Networks", "networks_of", "register"]

_CLASSES: dict[str, type] = {}


def register(name: str) -> Callable[[type], type]:
  """Decorates the subclass of `Networks` for models whose `config.networks` is this name.

  Raises:
    ValueError: the name belongs to other networks.
  """

  def add(networks: type) -> type:
    known = _CLASSES.get(name)
    # A notebook cell that runs twice defines the same class again.
    if known and (known.__module__, known.__qualname__) != (
      networks.__module__,
      networks.__qualname__,
    ):
      raise ValueError(f"networks {name!r} are {known.__module__}.{known.__qualname__} already")
    _CLASSES[name] = networks
    return networks

  return add


@register(PAPERS_NETWORKS)
class Networks:
  """The paper's networks. Subclasses replace some of them.

  All networks are Keras layers. g_a, g_s and h_a may be of any kind. h_s and g_ep are computed in
  integers when files are coded; `coding.freezing` lists the layers that they may have.

  Args:
    config: config of the model.
    gdn_dtype: Keras policy of GDNs: "float32", or "bfloat16" in a codec of that precision.
  """

  def __init__(self, config: ModelConfig, gdn_dtype: str = "float32"):
    self.config = config
    self.gdn_dtype = gdn_dtype

  @property
  def slices(self) -> int:
    """The number of slices of channels in the order of coding; the paper's has one."""
    return orders.order_of(self.config.order).slices

  @property
  def activation(self) -> Callable:
    """The ReLU of the model, leaky or not."""
    slope = self.config.slope
    return functools.partial(tf.nn.leaky_relu, alpha=slope) if slope else tf.nn.relu

  def g_a(self) -> tf.keras.layers.Layer:
    """Pixels [B, 16 h, 16 w, 3] in 0..1 -> y [B, h, w, M]."""
    config = self.config
    return transforms.analysis_transform(config.num_filters, config.latent_channels, self.gdn_dtype)

  def g_s(self) -> tf.keras.layers.Layer:
    """ŷ [B, h, w, M] -> pixels [B, 16 h, 16 w, 3] in about 0..1."""
    return transforms.synthesis_transform(self.config.num_filters, self.gdn_dtype)

  def h_a(self) -> tf.keras.layers.Layer:
    """Side information: y [B, h, w, M] -> z [B, ceil(h/4), ceil(w/4), N]."""
    return transforms.hyper_analysis_transform(self.config.num_filters, self.activation)

  def h_s(self) -> tf.keras.layers.Layer:
    """ẑ [B, h', w', N] -> psi [B, 4 h', 4 w', 2M], or M channels for scales alone."""
    config = self.config
    # Without g_ep, psi holds means and scales.
    dtype: Optional[str] = None if config.parts.context else "float32"
    return transforms.hyper_synthesis_transform(
      config.h_s_hidden, config.psi_channels, self.activation, dtype
    )

  def g_ep(self) -> tf.keras.layers.Layer:
    """(psi, phi) [B, h, w, 4M], or phi alone with 2M -> means and raw scales [B, h, w, 2M].

    Orders with slices of channels have one g_ep for each slice, which gets psi, [B, h, w, 2M], and
    a phi of 2M / slices channels, and returns the parameters of M / slices latents.
    """
    channels, outputs = self.config.latent_channels, self.config.parameter_channels
    return EntropyParameters(channels // self.slices, self.activation, outputs // self.slices)


def networks_of(config: ModelConfig, gdn_dtype: str = "float32") -> Networks:
  """The networks of a model.

  Raises:
    ValueError: no networks are registered under `config.networks`.
  """
  if config.networks not in _CLASSES:
    raise ValueError(
      f"the model has networks {config.networks!r}, which this program does not know: import the"
      " module that registers them first, as with --import=MODULE"
    )
  return _CLASSES[config.networks](config, gdn_dtype)
