"""Adds latent channels to a trained model, which keeps the function that it has learned.

The weights of the old model are embedded, with zeros around them that keep the new latents out. At
first the wider model therefore computes the same from the old latents as the old model did (a case
of Chen, Goodfellow & Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016).
"""

import dataclasses

import numpy as np

from bmshj_minnen.config import PAPERS_NETWORKS, ModelConfig
from bmshj_minnen.format import orders

__all__ = ["can_widen", "widen", "widened"]


def widened(source: ModelConfig, latent_channels: int) -> ModelConfig:
  """The config with another number of latent channels; hidden layers of h_s keep their widths."""
  hidden = source.h_s_hidden if source.parts.hyperprior else None
  return dataclasses.replace(source, latent_channels=latent_channels, h_s_channels=hidden)


def can_widen(source: ModelConfig, target: ModelConfig) -> bool:
  """Whether `target` is `source` with more latent channels, and its networks have known shapes.

  These are the paper's networks, with one slice of channels and one density for each latent.
  """
  is_more = source.latent_channels < target.latent_channels
  is_more = is_more and source.networks == PAPERS_NETWORKS and source.components == 1
  is_more = is_more and orders.order_of(source.order).slices == 1
  return is_more and widened(source, target.latent_channels) == target


def widen(
  arrays: dict[str, np.ndarray],
  source: ModelConfig,
  initial: dict[str, np.ndarray],
  target: ModelConfig,
) -> dict[str, np.ndarray]:
  """Embeds trained weights in a model with more latent channels.

  Args:
    arrays: trained weights, by the names of `bmshj_minnen.model_files.weights`.
    source: config of the trained model.
    initial: random weights of the new model, by the same names; used for new latents.
    target: config of the new model, see `can_widen`.

  Returns:
    Weights of the new model, float32, with the names and shapes of `initial`.
  """
  inputs, outputs = _places(source, target)
  result = {name: np.array(array, np.float32) for name, array in initial.items()}
  for name, old in arrays.items():
    new, (layer, _, kind) = result[name], name.rpartition("/")
    if kind == "kernel":
      rows = _first(inputs.get(layer), old.shape[-2])
      columns = _first(outputs.get(layer), old.shape[-1])
      new[..., columns] = 0
      new[..., rows[:, None], columns] = old
    elif new.shape == old.shape:
      new[...] = old
    else:
      new[_first(outputs.get(layer), len(old))] = old
  return result


def _places(source, target):
  """Layer -> new indices of its old inputs, and of its old outputs, unless these come first."""
  old, new = np.arange(source.latent_channels), target.latent_channels
  means_and_scales = np.concatenate([old, new + old])
  if not source.parts.context:
    return {}, {"h_s/2": means_and_scales}  # Or only scales.
  inputs = {}
  if source.parts.hyperprior:
    psi, phi = np.arange(source.psi_channels), np.arange(2 * len(old))
    inputs["g_ep/0"] = np.concatenate([psi, target.psi_channels + phi])
  return inputs, {"g_ep/2": means_and_scales}


def _first(places, count):
  return np.arange(count) if places is None else places[:count]
