"""CompressAI's mbt2018, the same model in PyTorch; runs under a Python with CompressAI.

The benchmarks start it as

    python -m experiments.speed.peers codec IMAGE.npy LATENT_DEVIATION N M
    python -m experiments.speed.peers training BATCH.npy N

Both files contain uint8; training has N = M.
"""

import sys

import compressai.losses
import compressai.models
import compressai.optimizers
import numpy as np
import torch

from experiments.speed import timing


def codec(path: str, deviation: float, num_filters: int, latent_channels: int) -> None:
  """Serves `encode` and `decode` of one image [H, W, 3].

  Args:
    path: file of the image.
    deviation: the standard deviation that the untrained model's latents are scaled to. It is also
      added to all predicted scales, so that latents and predictions agree roughly.
    num_filters, latent_channels: N and M.
  """
  image = np.load(path)
  height, width = image.shape[:2]
  x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
  x = torch.nn.functional.pad(x, (0, -width % 64, 0, -height % 64), mode="replicate")
  model = _model(num_filters, latent_channels).eval()
  with torch.no_grad():
    gain = deviation / model.g_a(x).std()
    model.g_a[-1].weight *= gain
    model.g_a[-1].bias *= gain
    model.entropy_parameters[-1].bias[: model.M] += deviation
    model.update(force=True)
    coded = model.compress(x)
    size = sum(len(string) for (string,) in coded["strings"])
    timing.serve(
      {
        "encode": lambda: model.compress(x),
        "decode": lambda: model.decompress(coded["strings"], coded["shape"]),
      },
      f"{8 * size / (height * width):.2f} bpp, {torch.get_num_threads()} threads",
    )


def training(path: str, num_filters: int) -> None:
  """Serves `step`, one step of CompressAI's training on a batch [B, H, W, 3]."""
  x = torch.from_numpy(np.load(path)).permute(0, 3, 1, 2).float() / 255
  model = _model(num_filters, num_filters).train()
  criterion = compressai.losses.RateDistortionLoss(lmbda=0.01)
  optimizers = compressai.optimizers.net_aux_optimizer(
    model, {"net": {"type": "Adam", "lr": 1e-4}, "aux": {"type": "Adam", "lr": 1e-3}}
  )

  def step():
    optimizers["net"].zero_grad()
    optimizers["aux"].zero_grad()
    criterion(model(x), x)["loss"].backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizers["net"].step()
    model.aux_loss().backward()
    optimizers["aux"].step()

  timing.serve({"step": step}, f"{torch.get_num_threads()} threads")


def _model(num_filters, latent_channels):
  """The model of `compressai.zoo.mbt2018` with any N and M."""
  torch.manual_seed(0)
  return compressai.models.JointAutoregressiveHierarchicalPriors(num_filters, latent_channels)


if __name__ == "__main__":
  if sys.argv[1] == "codec":
    codec(sys.argv[2], float(sys.argv[3]), *map(int, sys.argv[4:]))
  else:
    training(sys.argv[2], int(sys.argv[3]))
