"""Joint autoregressive and hierarchical priors for learned image compression.

The paper's model (Minnen, Ballé, Toderici, NeurIPS 2018), trained with `bmshj_minnen.train`:

    codec = bmshj_minnen.load("models/joint-0.01")
    data = codec.compress(image)      # [H, W, 3] uint8 -> bytes
    image = codec.decompress(data)    # and back
"""

from bmshj_minnen.coding.bitstream import BitstreamError
from bmshj_minnen.coding.codec import Codec, Latents
from bmshj_minnen.config import ModelConfig, TrainConfig
from bmshj_minnen.images import ImageError, read_image, write_image
from bmshj_minnen.model import Model
from bmshj_minnen.model_directory import load, load_model

__all__ = [
  "BitstreamError",
  "Codec",
  "ImageError",
  "Latents",
  "Model",
  "ModelConfig",
  "TrainConfig",
  "load",
  "load_model",
  "read_image",
  "write_image",
]
