"""Settings of a training run, with their sources."""

import dataclasses
import math

from bmshj_minnen import checks
from bmshj_minnen import config as cfg

__all__ = ["LATENTS", "OPTIMIZERS", "PRECISIONS", "SCHEDULES", "STRATEGIES", "TrainConfig"]

OPTIMIZERS = ("adam", "muon")
SCHEDULES = ("constant", "cosine", "step")
LATENTS = ("noisy", "rounded")  # Latents in training.
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("default", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
  """Settings of a training run.

  The paper does not state its schedule. Batch 8, crops of 256x256, Adam with 1e-4 and 1 M steps
  come from tensorflow-compression's scripts, and the gradient norm bound of 1 from CompressAI.

  Attributes:
    model_dir: folder for weights, logs and the record of the run.
    lmbda: λ of R + λD; R in bits per pixel, D the MSE on the 0..255 scale or 1 - MS-SSIM.
    distortion: one of `config.DISTORTIONS`.
    train_glob, validation_glob: patterns of photographs; empty: the bundled ones.
    dataset, data_dir: a tensorflow-datasets name and its folder, instead of `train_glob`.
    crop: side of the square training crops, pixels.
    downscale: whether JPEGs are made smaller by random factors first, which hides their blocks.
    batch: crops per step, on all devices together.
    steps: length of the whole run.
    optimizer: one of `OPTIMIZERS`: Adam, the field's usual choice; `Muon`, which needs fewer steps.
    learning_rate: initial learning rate.
    schedule: one of `SCHEDULES`: constant; cosine, to 1 % of the initial rate; step, divided by ten
      for the last fifth of the run.
    warmup: steps over which the learning rate grows linearly to that of the schedule; 0: none.
    quantizer: the name of the quantizers of y and z in training, see `layers.quantizers`: the
      paper's noise; straight_through; universal; in_turn, as in files; or a registered one.
    latents: one of `LATENTS`: noisy, as in the paper; or rounded, as in files, while g_a and h_a do
      not change: for the end of a training, with `init_from`.
    clip_norm: bound on the global gradient norm; 0: no bound.
    average: the share of itself that the moving average of the weights keeps per step, such as
      0.9995; the average is validated and saved. 0: no average; the last weights are saved.
    precision_policy: Keras policy, one of `PRECISIONS`; GDN and likelihoods are float32 in all.
    strategy: one of `STRATEGIES`: one device; all GPUs of a machine; the machines of `TF_CONFIG`.
    seed: seed of the initial weights, the crops and the noise, 0 to 2^31 - 1.
    init_from: another model directory with the weights to start from; empty: random weights.
    latents_of: a model whose g_a, g_s and gains the run takes and keeps. Its latents are stored
      once, and only the prior is trained, on them. Empty: all networks are trained.
    latents_dir: folder of the stored latents.
    stored_crops: number of crops whose latents are stored.
    save_every: steps between checkpoints, validations and metric rows.
    file_every: validations from one to the next that also codes a file, see `coded_file`; 0: none.

  Raises:
    TypeError: a value is not a number.
    ValueError: a value is unknown or out of range, or values contradict each other.
  """

  model_dir: str
  lmbda: float = 0.01
  distortion: str = "mse"
  train_glob: str = ""
  validation_glob: str = ""
  dataset: str = ""
  data_dir: str = ""
  crop: int = 256
  downscale: bool = False
  batch: int = 8
  steps: int = 1_000_000
  optimizer: str = "adam"
  learning_rate: float = 1e-4
  schedule: str = "step"
  warmup: int = 0
  quantizer: str = cfg.PAPERS_QUANTIZER
  latents: str = "noisy"
  clip_norm: float = 1.0
  average: float = 0.0
  precision_policy: str = "float32"
  strategy: str = "default"
  seed: int = 0
  init_from: str = ""
  latents_of: str = ""
  latents_dir: str = "models/latents"
  stored_crops: int = 4096
  save_every: int = 500
  file_every: int = 10

  def __post_init__(self):
    checks.positive("lambda", self.lmbda)
    checks.positive("learning rate", self.learning_rate)
    if not 0 <= checks.number("clip_norm", self.clip_norm, "0 or more") < math.inf:
      raise ValueError(f"clip_norm must be finite, and 0 or more, not {self.clip_norm:g}")
    if not 0 <= self.average < 1:
      raise ValueError(f"average must be at least 0 and below 1, not {self.average}")
    if not 0 <= self.seed < 2**31:
      raise ValueError(f"the seed must be 0 to {2**31 - 1}, not {self.seed}")
    checks.choice("distortion", self.distortion, cfg.DISTORTIONS)
    checks.choice("optimizer", self.optimizer, OPTIMIZERS)
    checks.choice("schedule", self.schedule, SCHEDULES)
    checks.choice("latents", self.latents, LATENTS)
    checks.choice("precision", self.precision_policy, PRECISIONS)
    checks.choice("strategy", self.strategy, STRATEGIES)
    if self.latents == "rounded" and not self.init_from:
      raise ValueError("rounded latents are for trained models: give one as init_from")
    if self.latents == "rounded" and self.quantizer != cfg.PAPERS_QUANTIZER:
      raise ValueError("rounded latents have a quantizer of their own: leave the quantizer out")
    if self.latents_of and self.init_from:
      raise ValueError("give either latents_of, to train a prior alone, or init_from, not both")
    if min(self.batch, self.steps, self.save_every, self.stored_crops) < 1:
      raise ValueError("batch, steps, save_every and stored_crops must be at least 1")
    if not 0 <= self.warmup < math.inf or not 0 <= self.file_every < math.inf:
      raise ValueError("warmup and file_every must be 0 or more")
    stride = cfg.LATENT_STRIDE * cfg.HYPER_STRIDE
    if self.crop < stride or self.crop % stride:
      raise ValueError(f"the crop must be a multiple of {stride}, not {self.crop}")
    least = cfg.MS_SSIM_MIN_SIZE
    if self.distortion == "ms_ssim" and self.crop < least:
      raise ValueError(f"MS-SSIM needs crops of at least {least}x{least}, not {self.crop}")
    if self.dataset and self.train_glob:
      raise ValueError("give either a dataset or a train_glob, not both")
