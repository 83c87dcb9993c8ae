"""Every number of the paper, once, with its source; `training.train_config` has those of a run.

Section numbers refer to

  D. Minnen, J. Ballé, G. Toderici, "Joint Autoregressive and Hierarchical Priors for Learned
  Image Compression", NeurIPS 2018, https://arxiv.org/abs/1809.02736
"""

import dataclasses
import json
import pathlib
from typing import Any, Optional

from bmshj_minnen import checks

__all__ = [
  "CODEC_PRECISIONS",
  "DISTORTIONS",
  "PAPERS_DENSITY",
  "PAPERS_NETWORKS",
  "PAPERS_ORDER",
  "PAPERS_QUANTIZER",
  "PRIORS",
  "SCALE_OUTPUTS",
  "ModelConfig",
  "Prior",
  "geometric",
  "hyper_size",
  "latent_size",
]

# The meaning of a network output: the index of a scale, or the scale itself.
SCALE_OUTPUTS = ("index", "scale")
DISTORTIONS = ("mse", "ms_ssim")
CODEC_PRECISIONS = ("float32", "bfloat16", "auto")  # For g_a and g_s, see `runtime.precisions`.

# Table 1: g_a halves the resolution four times, h_a twice more.
LATENT_STRIDE = 16
HYPER_STRIDE = 4
CONTEXT_SUPPORT = 5  # Table 1: the masked convolution is 5x5.
PAPERS_DENSITY = "gaussian"  # The name of p(ŷ) in equation 3.
MAX_COMPONENTS = 8  # Densities in a mixture; masses of so many fit in 64 bits.
PAPERS_ORDER = "causal"  # The name of the order of coding of section 2.
PAPERS_NETWORKS = "paper"  # The name of g_a, g_s, h_a, h_s and g_ep of table 1.
PAPERS_QUANTIZER = "noise"  # Section 2: noise in place of rounding, see `layers.quantizers`.

# The standard deviations: 64 log-spaced values from 0.11 to 256, as in Ballé et al. (2018) and
# tensorflow-compression's bmshj2018.
NUM_SCALES = 64
SCALE_MIN = 0.11
SCALE_MAX = 256.0
# A network output s means the scale with index SCALE_INDEX_GAIN * s + SCALE_INDEX_CENTER. The gain
# is a power of two, so that integer networks can apply it exactly. With this center an untrained
# model starts near scale 0.7.
SCALE_INDEX_GAIN = 4.0
SCALE_INDEX_CENTER = 15.0

# Not stated in the paper. 51/256 = 0.19921875 is the multiple of 1/256 nearest to TensorFlow's
# default of 0.2; integer networks apply it exactly.
LEAKY_SLOPE = 51 / 256

# Hidden layers of the learned densities: tensorflow-compression's default.
DENSITY_FILTERS = (3, 3)

# A loss at λ has weight λ^-0.45, so that a per cent of the bits counts about equally at every rate:
# R + λD grows in proportion to λ^0.45 on photographs.
RATE_WEIGHT_EXPONENT = -0.45

LIKELIHOOD_BOUND = 1e-9  # As in tensorflow-compression: caps the bits of one element near 30.

# MS-SSIM (Wang et al., 2003) filters with 11x11 windows at five scales; odd sides halve upwards.
MS_SSIM_MIN_SIZE = 10 * 2**4 + 1


@dataclasses.dataclass(frozen=True)
class Prior:
  """The parts of a model that predict the latents.

  Attributes:
    hyperprior: whether side information z is coded: h_a, h_s and a learned density of z.
    context: whether decoded latents predict the next ones: g_cm and g_ep.
    means: whether p(ŷ) has means. Without them ŷ is a whole number, and h_a sees |y|.
    leaky: whether the ReLUs of h_a, h_s and g_ep are leaky.
  """

  hyperprior: bool = False
  context: bool = False
  means: bool = False
  leaky: bool = True

  @property
  def is_conditional(self) -> bool:
    """Whether networks predict p(ŷ); if not, it is a learned density per channel."""
    return self.hyperprior or self.context


# Section 2 and table 1; the first two come from Ballé et al. (2018), with plain ReLUs.
PRIORS = {
  "factorized": Prior(),
  "scale_hyperprior": Prior(hyperprior=True, leaky=False),
  "mean_scale_hyperprior": Prior(hyperprior=True, means=True),
  "autoregressive": Prior(context=True, means=True),
  "joint": Prior(hyperprior=True, context=True, means=True),
}


def geometric(low: float, high: float, fraction: Any) -> Any:
  """Interpolates geometrically from `low` at fraction 0 to `high` at fraction 1.

  `fraction` is a number, an array or a tensor, and the result has its type and shape.
  """
  return low * (high / low) ** fraction


def latent_size(pixels: Any) -> Any:
  """Rows (or columns) of an image -> rows (or columns) of y; an integer or a tensor."""
  return (pixels + LATENT_STRIDE - 1) // LATENT_STRIDE


def hyper_size(latents: Any) -> Any:
  """Rows (or columns) of y -> rows (or columns) of z; an integer or a tensor."""
  return (latents + HYPER_STRIDE - 1) // HYPER_STRIDE


@dataclasses.dataclass(frozen=True)
class ModelConfig:
  """Settings on which the weights of a model depend.

  Attributes:
    prior: one of `PRIORS`.
    num_filters: N, channels inside g_a, g_s and h_a, and of z (section 4: 192).
    latent_channels: M, channels of y (section 4: 192; 320 for the high rates, as in public code).
    h_s_channels: channels of the first two layers of h_s; None: M and 3M/2 (table 1).
    leaky_slope: slope of the leaky ReLUs; integer networks round it to 12 significant bits.
    scale_output: one of `SCALE_OUTPUTS`.
    density_filters: channels of the hidden layers of the learned densities.
    medians: whether symbols with a learned density (z, or y in the factorized model) are counted
      from a median per channel, which is added again before h_s (or g_s).
    gain_lambdas: increasing values of λ at which a model for many rates has learned gains of its
      latents; None: a model for one rate, as in the paper.
    networks: the name of g_a, g_s, h_a, h_s and g_ep, see `layers.register`.
    context_support: side of the kernel of g_cm, odd.
    density: the name of the family of p(ŷ), see `entropy.densities`.
    components: K, the densities in the mixture p(ŷ) of each latent; 1: no mixture, as in the paper.
    order: the name of the order of coding, from which the mask of g_cm follows, see
      `format.orders`.

  Raises:
    ValueError: a value is unknown or out of range.
  """

  prior: str = "joint"
  num_filters: int = 192
  latent_channels: int = 192
  h_s_channels: Optional[tuple[int, int]] = None
  leaky_slope: float = LEAKY_SLOPE
  scale_output: str = "index"
  density_filters: tuple[int, ...] = DENSITY_FILTERS
  medians: bool = False
  gain_lambdas: Optional[tuple[float, ...]] = None
  networks: str = PAPERS_NETWORKS
  context_support: int = CONTEXT_SUPPORT
  density: str = PAPERS_DENSITY
  components: int = 1
  order: str = PAPERS_ORDER

  def __post_init__(self):
    for name in ("h_s_channels", "density_filters", "gain_lambdas"):  # JSON has lists only.
      if isinstance(getattr(self, name), list):
        object.__setattr__(self, name, tuple(getattr(self, name)))
    checks.choice("prior", self.prior, PRIORS)
    checks.choice("scale_output", self.scale_output, SCALE_OUTPUTS)
    for name in ("num_filters", "latent_channels", "components", "context_support"):
      checks.whole(name, getattr(self, name), 1)
    if self.context_support < 3 or self.context_support % 2 == 0:
      raise ValueError(f"context_support must be odd and at least 3, not {self.context_support}")
    if self.density != PAPERS_DENSITY and not self.parts.is_conditional:
      raise ValueError(f"the factorized prior learns its density, so it cannot be {self.density!r}")
    if not 1 <= self.components <= MAX_COMPONENTS:
      raise ValueError(f"components must be 1 to {MAX_COMPONENTS}, not {self.components}")
    if self.components > 1 and not (self.parts.means and self.scale_output == "index"):
      raise ValueError(
        "a mixture, of several components, needs a prior with means and the scale_output 'index', "
        f"not {self.prior} and {self.scale_output!r}"
      )
    if self.order != PAPERS_ORDER and not self.parts.context:
      raise ValueError(
        f"the order {self.order!r} needs a context, which {self.prior} does not have"
      )
    lambdas = self.gain_lambdas
    if lambdas is not None and not (
      len(lambdas) > 1 and 0 < lambdas[0] and sorted(set(lambdas)) == list(lambdas)
    ):
      raise ValueError(f"gain_lambdas must be two or more, above 0 and increasing, not {lambdas}")

  def lambda_at(self, fraction: Any) -> Any:
    """λ of a model for many rates: its lowest at fraction 0, its highest at 1, see `geometric`."""
    return geometric(self.gain_lambdas[0], self.gain_lambdas[-1], fraction)

  @property
  def middle_lambda(self) -> float:
    """The geometric middle of the range of λ of a model for many rates.

    Training draws λ around it. New gains are 1 at this λ, and so are the weights of the losses. It
    belongs to quality 50½, half a quality above the default, see `quality`.
    """
    return self.lambda_at(0.5)

  @property
  def parts(self) -> Prior:
    """The parts of the prior."""
    return PRIORS[self.prior]

  @property
  def parameter_channels(self) -> int:
    """Channels of the entropy parameters: M (scales) or 2M (means and scales).

    A mixture has 3KM: KM logits of the weights, then as many means and scales.
    """
    if self.components > 1:
      return 3 * self.components * self.latent_channels
    return self.latent_channels * (2 if self.parts.means else 1)

  @property
  def psi_channels(self) -> int:
    """Channels of psi: 2M with context, and those of the entropy parameters without."""
    return 2 * self.latent_channels if self.parts.context else self.parameter_channels

  @property
  def h_s_hidden(self) -> tuple[int, int]:
    """Channels of the first two layers of h_s."""
    return self.h_s_channels or (self.latent_channels, self.latent_channels * 3 // 2)

  @property
  def slope(self) -> float:
    """Slope of the negative half of the activations in h_a, h_s and g_ep; 0 for plain ReLUs."""
    return self.leaky_slope if self.parts.leaky else 0.0

  def differences(self, other: "ModelConfig") -> list[str]:
    """Fields in which this config differs from another, such as "num_filters is 96, not 192"."""
    pairs = (
      (f.name, getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self)
    )
    return [f"{name} is {mine}, not {its}" for name, mine, its in pairs if mine != its]

  def fields(self) -> dict[str, Any]:
    """Arguments that recreate this config: prior, N, M and all non-default fields."""
    always = ("prior", "num_filters", "latent_channels")
    return {
      field.name: getattr(self, field.name)
      for field in dataclasses.fields(self)
      if field.name in always or getattr(self, field.name) != field.default
    }

  def to_json(self) -> str:
    """The config as JSON, which `load` reads."""
    return json.dumps(self.fields(), indent=2) + "\n"

  @classmethod
  def load(cls, path: pathlib.Path) -> "ModelConfig":
    """Reads a file that `to_json` made.

    Raises:
      ValueError: the file is not a model configuration, or a value is out of range.
    """
    try:
      return cls(**json.loads(path.read_text()))
    except (TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
      raise ValueError(f"{path} is not a model configuration: {error}") from error
