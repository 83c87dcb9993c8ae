"""The integer networks and tables that entropy decoding reads, frozen after training."""

import dataclasses
import functools
import json
from typing import NamedTuple, Optional

import numpy as np

from bmshj_minnen import config as cfg
from bmshj_minnen.format import fingerprints
from bmshj_minnen.format.mixture_integers import IntegerMixture
from bmshj_minnen.format.orders import Order
from bmshj_minnen.format.tables import Tables

__all__ = ["FixedLayer", "FrozenPrior", "HyperLayer", "slice_name"]


@dataclasses.dataclass(frozen=True)
class FixedLayer:
  """Output = scale * (weights^T input + bias), then a leaky ReLU; all in integers.

  Attributes:
    weights: [fan_in, out] int32; the absolute values of a column sum to at most 2**16.
    bias: [out] int64, in units of the products.
    scale: [out] float64 powers of two, from products to units of the output.
    slope: slope of the negative half of the activation, in 1/256, with at most 12 significant bits;
      256: linear.
  """

  weights: np.ndarray
  bias: np.ndarray
  scale: np.ndarray
  slope: float = 256


def slice_name(network: str, part: int, slices: int) -> str:
  """The name of g_cm or g_ep of one of the slices of channels; "g_cm" and "g_ep" if it is one."""
  return network if slices == 1 else f"{network}/{part}"


class HyperLayer(NamedTuple):
  """A layer of h_s: the side of its kernel, odd, and its stride upwards."""

  support: int
  up: int


# Model files omit the hyper layers if they are these.
_PAPERS_HYPER_LAYERS = (HyperLayer(5, 2), HyperLayer(5, 2), HyperLayer(3, 1))


@dataclasses.dataclass(frozen=True)
class FrozenPrior:
  """The prior of one model as integers.

  Attributes:
    config: config of the model.
    y_step: ŷ and mean are multiples of this power of two, at most 1.
    layers: "h_s/0", "h_s/1" and so on, "g_cm", "g_ep/0" and so on, as far as the prior has them.
      Layers of h_s act on patches; strided ones give the outputs of a position as channels, see
      `kernels.polyphase`. Orders with slices have "g_cm/0", "g_ep/0/0" and so on, see `slice_name`.
    tables: tables of z (one per channel, if there is side information), then of y: one per scale,
      or for the factorized prior one per channel.
    thresholds: [63] int32, increasing, if the last layer gives scales: the index of a scale is the
      number of thresholds that it exceeds. None if that layer gives indices.
    hyper_layers: the layers of h_s; empty without side information.
    order: the order of coding.
    mixture: the integers of a mixture of densities, whose tables of y are binary; or None.
  """

  config: cfg.ModelConfig
  y_step: float
  layers: dict[str, FixedLayer]
  tables: Tables
  thresholds: Optional[np.ndarray] = None
  hyper_layers: tuple[HyperLayer, ...] = ()
  order: Order = Order()
  mixture: Optional[IntegerMixture] = None

  def arrays(self) -> dict[str, np.ndarray]:
    """The prior as arrays by name; `from_arrays` makes the prior from them."""
    arrays = {
      "config": np.asarray(json.dumps(self.config.fields())),
      "y_step": np.asarray(self.y_step, np.float64),
    }
    if self.thresholds is not None:
      arrays["thresholds"] = self.thresholds
    if self.hyper_layers not in ((), _PAPERS_HYPER_LAYERS):
      arrays["hyper_layers"] = np.asarray(self.hyper_layers, np.int32)
    if self.order.pattern is not None:
      arrays["order"] = self.order.pattern
    parts = [*self.layers.items(), ("tables", self.tables)]
    if self.mixture is not None:
      parts.append(("mixture", self.mixture))
    for name, part in parts:
      for field, value in dataclasses.asdict(part).items():
        arrays[f"{name}.{field}"] = np.asarray(value)
    return arrays

  @classmethod
  def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "FrozenPrior":
    """Makes a prior from the arrays that `arrays` returned."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for key, value in arrays.items():
      if "." in key:
        name, field = key.split(".")
        parts.setdefault(name, {})[field] = value
    tables = Tables(**parts.pop("tables"))
    mixture = IntegerMixture(**parts.pop("mixture")) if "mixture" in parts else None
    config = cfg.ModelConfig(**json.loads(str(arrays["config"])))
    hyper_layers = _PAPERS_HYPER_LAYERS if config.parts.hyperprior else ()
    if "hyper_layers" in arrays:
      hyper_layers = tuple(HyperLayer(*row) for row in arrays["hyper_layers"].tolist())
    return cls(
      config,
      float(arrays["y_step"]),
      {name: FixedLayer(**part) for name, part in sorted(parts.items())},
      tables,
      arrays.get("thresholds"),
      hyper_layers,
      Order(arrays.get("order")),
      mixture,
    )

  @functools.cached_property
  def fingerprint(self) -> bytes:
    """4 bytes that identify the model: a hash of all attributes and of the coding version."""
    return fingerprints.fingerprint(self.arrays())
