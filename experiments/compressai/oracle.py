"""Random checkpoints of CompressAI, and its results with them; needs a Python with CompressAI.

python -m experiments.compressai.oracle FOLDER N M

For each model writes FOLDER/MODEL.pth.tar and FOLDER/MODEL.npz, the same arrays, and for each
photograph in FOLDER/photographs.npz FOLDER/MODEL-PHOTOGRAPH.npz; see `measure`.
`experiments.compressai.study` starts it.
"""

import pathlib
import re
import sys

import numpy as np
import torch
from compressai import models, ops

MODELS = {
  "bmshj2018-factorized": models.FactorizedPrior,
  "bmshj2018-hyperprior": models.ScaleHyperprior,
  "mbt2018-mean": models.MeanScaleHyperprior,
  "mbt2018": models.JointAutoregressiveHierarchicalPriors,
}
_STRIDE = 64  # CompressAI's examples pad to multiples of this.
_SCALE_MIN = 0.11


def padded(image: np.ndarray) -> np.ndarray:
  """Pads [H, W, 3] uint8 with zeros, as CompressAI's example `codec.py` does."""
  (left, right, top, bottom), _ = ops.compute_padding(*image.shape[:2], min_div=_STRIDE)
  return np.pad(image, [(top, bottom), (left, right), (0, 0)])


def random_model(name: str, n: int, m: int, images: list[np.ndarray]) -> torch.nn.Module:
  """A model in which nothing is trivial, with latents of many scales on images [H, W, 3] uint8."""
  torch.manual_seed(1)
  model = MODELS[name](n, m).eval()
  x = _tensor(padded(images[0]))
  with torch.no_grad():
    _perturb(model)
    _rescale(model.g_a[6], model.g_a(x), _deviations(m, -1.5, 1.0), 0.0)
    y = model.g_a(x)
    # As in a trained model, latents beyond a few scales are rare.
    peaks = [model.g_a(_tensor(padded(image))).abs().amax((0, 2, 3)) for image in images]
    scale = torch.stack(peaks).amax(0) / 3
    if hasattr(model, "h_a"):
      source = y.abs() if name == "bmshj2018-hyperprior" else y
      _rescale(model.h_a[4], model.h_a(source), _deviations(n, -1.0, 0.8), 0.5)
    model.entropy_bottleneck._update_quantiles()
    medians = model.entropy_bottleneck.quantiles[:, :, 1]
    medians += 0.4 * torch.randn_like(medians)  # Learned medians are not exact, either.
    head = _head(model)
    if head is not None:
      output = _outputs(head, model, x)["output"]
      mean = scale[:0] if output.shape[1] == m else scale
      _rescale(head, output, torch.cat([scale, mean]) / 8, torch.cat([scale, 0 * mean]))
    x_hat = _outputs(model.g_s[6], model, x)["output"]
    _rescale(model.g_s[6], x_hat, torch.full([3], 0.2), 0.5)
    model.update(force=True)
  return model


def _perturb(model):
  for name, parameter in model.named_parameters():
    if name.endswith(("beta", "gamma")):
      parameter += (0.5 if name.endswith("beta") else 0.1) * torch.rand_like(parameter)
      parameter.view(-1)[1] = -1.0  # Below its bound, so that the bound has an effect.
    elif re.match(r"entropy_bottleneck\.(matrices|biases|factors)", name):
      parameter += 0.3 * torch.randn_like(parameter)
    elif name.endswith("bias"):
      parameter += 0.1 * torch.randn_like(parameter)


def _deviations(channels, low, high):
  return 10 ** torch.empty(channels).uniform_(low, high)


def _rescale(layer, output, deviation, center):
  """Sets the deviation and the center of the outputs [1, C, h, w] of a last layer."""
  gain = deviation / output.std((0, 2, 3))
  axis = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
  shape = [-1 if i == axis else 1 for i in range(4)]
  layer.weight *= gain.view(shape)
  layer.bias.copy_((layer.bias - output.mean((0, 2, 3))) * gain + center)


def _head(model):
  """The layer that gives scales, then means."""
  if hasattr(model, "entropy_parameters"):
    return model.entropy_parameters[4]
  return model.h_s[4] if hasattr(model, "h_s") else None


def _outputs(layer, model, x):
  """The input and the output of a layer in CompressAI's own pass over x."""
  seen = {}

  def hook(_, inputs, output):
    seen.update(input=inputs[0].clone(), output=output.clone())  # The activations are in place.

  handle = layer.register_forward_hook(hook)
  model(x)
  handle.remove()
  return seen


def measure(model: torch.nn.Module, image: np.ndarray) -> dict[str, np.ndarray]:
  """CompressAI's results for an image [H, W, 3] uint8.

  Returns:
    image: the padded image.
    y, y_bits, z, z_hat, z_bits, mean, scale, x_hat: results of its pass with rounding, [h, w, C].
    y_hat: the latents that x_hat was made from.
    coded_y_hat, coded_mean, coded_scale: results of its `compress`, position by position.
    decoded: the image that `decompress` makes from them, in 0..1.
    bytes: length of the strings of `compress`.
  """
  image = padded(image)
  x = _tensor(image)
  with torch.no_grad():
    forward = model(x)
    first = _outputs(model.g_s[0], model, x)
    arrays = {"y": model.g_a(x), "y_hat": first["input"], "x_hat": forward["x_hat"]}
    arrays.update({f"{k}_bits": -torch.log2(v) for k, v in forward["likelihoods"].items()})
    if hasattr(model, "h_a"):
      arrays["z"] = _outputs(model.h_a[4], model, x)["output"]
      arrays["z_hat"] = _outputs(model.h_s[0], model, x)["input"]
      arrays.update(_parameters(_outputs(_head(model), model, x)["output"], model, ""))
    strings, coded = _coded(model, x)
  arrays.update(coded)
  result = {name: value[0].permute(1, 2, 0).numpy() for name, value in arrays.items()}
  return {**result, "image": image, "bytes": np.asarray(sum(len(s) for (s,) in strings))}


def _parameters(output, model, prefix):
  """Scales, then means, as CompressAI uses them."""
  scale = output[:, : model.M]
  mean = output[:, model.M :] if output.shape[1] > model.M else torch.zeros_like(scale)
  return {f"{prefix}mean": mean, f"{prefix}scale": torch.clamp(scale, min=_SCALE_MIN)}


def _coded(model, x):
  """The strings of one image, and ŷ and its parameters at the time of coding."""
  outputs, handles = [], []
  if _head(model) is not None:
    hook = _head(model).register_forward_hook(lambda _, i, o: outputs.append(o.clone()))
    handles.append(hook)
  if hasattr(model, "context_prediction"):
    strings, y_hat = _compress_in_turn(model, x)
  else:
    coded = model.compress(x)
    strings = coded["strings"]
    hook = model.g_s[0].register_forward_pre_hook(lambda _, inputs: outputs.append(inputs[0]))
    model.decompress(strings, coded["shape"])
    handles.append(hook)
    y_hat = outputs.pop()
  for handle in handles:
    handle.remove()
  arrays = {"coded_y_hat": y_hat, "decoded": model.g_s(y_hat).clamp(0, 1)}
  if outputs:
    output = outputs[0]
    if output.dim() == 4 and output.shape[2:] != y_hat.shape[2:]:  # One position after another.
      output = torch.cat(outputs, 2).reshape(1, -1, *y_hat.shape[2:])
    arrays.update(_parameters(output, model, "coded_"))
  return strings, arrays


def _compress_in_turn(model, x):
  """mbt2018's `compress`, and the ŷ that it leaves where y was; its `decompress` takes minutes."""
  whole = []
  compress = model._compress_ar

  def keeping(y_hat, *args):
    string = compress(y_hat, *args)
    whole.append(y_hat)
    return string

  model._compress_ar = keeping
  strings = model.compress(x)["strings"]
  model._compress_ar = compress
  return strings, whole[0][:, :, 2:-2, 2:-2].contiguous()


def _tensor(image):
  return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def main(folder: str, n: str, m: str) -> None:
  """Writes the files that the module's docstring lists."""
  path = pathlib.Path(folder)
  with np.load(path / "photographs.npz") as arrays:
    photographs = dict(arrays)
  for name in MODELS:
    model = random_model(name, int(n), int(m), list(photographs.values()))
    torch.save(model.state_dict(), path / f"{name}.pth.tar")
    np.savez(path / f"{name}.npz", **{k: v.numpy() for k, v in model.state_dict().items()})
    for title, image in photographs.items():
      np.savez(path / f"{name}-{title}.npz", **measure(model, image))
    print(name, flush=True)


if __name__ == "__main__":
  main(*sys.argv[1:])
