"""Differences between a converted model and CompressAI, layer by layer."""

import numpy as np

from bmshj_minnen import Model
from bmshj_minnen.model_files import weights

__all__ = ["differences", "from_medians"]


def from_medians(model: Model, values: np.ndarray, density: str, sign: int = 1) -> np.ndarray:
  """Converts values [..., C] counted from the medians to CompressAI's counting (sign -1: back)."""
  median = weights.to_arrays(model).get(f"{density}/median")
  return values if median is None else values + sign * median


def differences(model: Model, oracle: dict[str, np.ndarray]) -> dict[str, float]:
  """The largest difference of each quantity, relative to its largest value.

  Each is computed from CompressAI's inputs to it, so that only this layer or network counts.

  Args:
    model: the converted model.
    oracle: the arrays that `experiments.compressai.oracle` wrote for one image.
  """
  results = {}

  def compare(name, ours, theirs):
    results[name] = float(np.abs(ours - theirs).max() / np.abs(theirs).max())

  y, y_hat = oracle["y"], oracle["y_hat"]
  compare("y", from_medians(model, model.analysis(oracle["image"][None])[0], "y_density"), y)
  pixels = model.synthesis(from_medians(model, y_hat, "y_density", -1)[None])[0] / 255
  compare("x_hat", pixels, oracle["x_hat"])
  if model.y_density is not None:
    symbols = from_medians(model, y_hat, "y_density", -1)
    compare("bits of y_hat", model.y_density.bits(symbols), oracle["y_bits"])
    return results
  z_hat = from_medians(model, oracle["z_hat"], "z_density", -1)
  z = model.hyper_analysis(y[None])[0]
  compare("z", from_medians(model, z, "z_density"), oracle["z"])
  compare("bits of z_hat", model.z_density.bits(z_hat), oracle["z_bits"])
  psi = model.hyper_synthesis(z_hat[None], [1, *y.shape])
  for prefix, context, name in (
    ("", np.round(y), ""),
    ("coded_", oracle["coded_y_hat"], ", coded"),
  ):
    mean, scale = (p[0].numpy() for p in model.parameters(psi, context[None]))
    if model.config.parts.means:
      compare(f"mean{name}", mean, oracle[f"{prefix}mean"])
    # Relative to each scale, not to the largest: the tables are spaced by their logarithms.
    theirs = oracle[f"{prefix}scale"]
    results[f"scale{name}"] = float(np.abs(scale / theirs - 1).max())
    if not prefix:
      symbols = np.round(y - mean) + mean
      compare("bits of y_hat", model.conditional.bits(symbols, mean, scale), oracle["y_bits"])
  return results
