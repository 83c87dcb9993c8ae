"""Perceptual metrics of decoded images, which other packages compute.

    ssimulacra2   100 (same image) and below, higher is better; package ssimulacra2 (BSD-3-Clause)
    flip          0 (same image) to 1, lower is better; package flip-evaluator (BSD-3-Clause)

SSIMULACRA 2 is libjxl's metric. The package is a translation to NumPy with another blur and other
borders, so its scores are comparable only with each other. FLIP (Andersson et al., HPG 2020) is the
mean of NVIDIA's reference implementation, at 67 pixels per degree.
"""

import io
from typing import Callable

import numpy as np
import PIL.Image

__all__ = ["METRICS", "PerceptualMetric", "metric"]

PerceptualMetric = Callable[[np.ndarray, np.ndarray], float]
_REMEDY = "pip install 'bmshj_minnen[perceptual]'"
# SSIMULACRA 2 has no scale for smaller images, and would find all of them equal.
_MIN_SIDE = 8


def _ssimulacra2():
  import ssimulacra2

  def metric_of(x, x_hat):
    if min(x.shape[:2]) < _MIN_SIDE:
      return float("nan")
    return float(ssimulacra2.compute_ssimulacra2(_file(x), _file(x_hat)))

  return metric_of


def _file(image):
  """A file in memory, because the package reads files only."""
  file = io.BytesIO()
  PIL.Image.fromarray(image).save(file, "BMP")
  return file


def _flip():
  import flip_evaluator

  def metric_of(x, x_hat):
    x, x_hat = (image.astype(np.float32) / 255 for image in (x, x_hat))
    _, mean, _ = flip_evaluator.evaluate(x, x_hat, "LDR", applyMagma=False)
    return float(mean)

  return metric_of


METRICS = {"ssimulacra2": _ssimulacra2, "flip": _flip}


def metric(name: str) -> PerceptualMetric:
  """The metric of a name in `METRICS`: x, x_hat [H, W, 3] uint8 -> figure.

  Raises:
    ValueError: the name is unknown, or the metric's package is not installed.
  """
  if name not in METRICS:
    raise ValueError(f"unknown perceptual metric {name!r}: choose from {', '.join(METRICS)}")
  try:
    return METRICS[name]()
  except ImportError as error:
    raise ValueError(f"{name} needs a package that is not installed: {_REMEDY}") from error
