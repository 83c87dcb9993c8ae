"""The latents of one file, and the prediction of each by the prior of the model."""

import dataclasses
from typing import Optional

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.quality import check_quality

__all__ = ["Anatomy", "Subject", "anatomy", "dissect"]

# Integers that a learned density is summed over.
_SUPPORT = np.arange(-512, 513, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Anatomy:
  """Latents and their prior, each [h, w, M] float32 unless stated.

  Attributes:
    y_hat: the latents.
    mean, scale: parameters of the Gaussian of each latent; for the factorized prior, mean and
      standard deviation of the channel's learned density.
    bits: information content of each latent.
    z_bits: information content of the whole side information.
    file_bytes: size of the file, or 0.
    pixels: number of pixels of the image.
  """

  y_hat: np.ndarray
  mean: np.ndarray
  scale: np.ndarray
  bits: np.ndarray
  z_bits: float
  file_bytes: int = 0
  pixels: int = 0

  @property
  def error(self) -> np.ndarray:
    """The error of the prediction, [h, w, M]."""
    return self.y_hat - self.mean

  @property
  def normalized(self) -> np.ndarray:
    """The error in units of the scale, [h, w, M]."""
    return self.error / self.scale


class Subject:
  """A model and its codec.

  Args:
    model: a model directory, or the name of one that ships.
    quality: 1 to 100, for a model for many rates; None: its middle one, or a model for one rate.

  Raises:
    ValueError: the model does not exist or lacks this quality.
  """

  def __init__(self, model: str, quality: Optional[int] = None):
    self.model = bmshj_minnen.load_model(model)
    self.codec = bmshj_minnen.load(model)
    # A model for one rate has no quality; several are compared with one flag.
    self.quality = quality if self.model.config.gain_lambdas else None
    check_quality(self.quality, self.model.config)


def dissect(subject: Subject, image: np.ndarray) -> Anatomy:
  """Compresses [H, W, 3] uint8 and returns the anatomy of the file."""
  file, latents = subject.codec.compress_with_latents(image, quality=subject.quality)
  parts = anatomy(subject.model, latents.y_hat, latents.z_hat)
  pixels = image.shape[0] * image.shape[1]
  return dataclasses.replace(parts, file_bytes=len(file), pixels=pixels)


def anatomy(model: bmshj_minnen.Model, y_hat: np.ndarray, z_hat: np.ndarray) -> Anatomy:
  """The prediction of given latents by a model's prior, in floating point.

  Args:
    model: a model with any prior.
    y_hat: [h, w, M] float32.
    z_hat: [h', w', N] float32; ignored without side information.
  """
  y_hat, z_hat = y_hat[None], z_hat[None]
  if model.y_density is not None:
    mean, scale = (np.broadcast_to(v, y_hat.shape) for v in _moments(model.y_density.density))
  else:
    mean, scale = model.parameters(model.hyper_synthesis(z_hat, tf.shape(y_hat)), y_hat)
  bits = model.latent_bits(y_hat, z_hat)
  z_bits = float(model.rate(y_hat, z_hat).z_bits[0])
  return Anatomy(*(np.asarray(v)[0] for v in (y_hat, mean, scale, bits)), z_bits)


def _moments(density):
  """Mean and standard deviation of a learned density on integers, each [M]."""
  mass = np.asarray(density.prob(_SUPPORT[:, None]), np.float64)  # [n, M]
  mass = mass / mass.sum(0)
  mean = _SUPPORT @ mass
  return mean.astype(np.float32), np.sqrt(_SUPPORT**2 @ mass - mean**2).astype(np.float32)
