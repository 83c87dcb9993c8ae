"""Stores latents of a trained g_a once, so that priors can be trained alone while g_a is fixed.

The file contains y before the gains of a model for many rates, so that it serves every λ.
"""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.data import crops
from bmshj_minnen.model import Model
from bmshj_minnen.model_files import array_files, catalogue, model_directory, weights
from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["TRANSFORMS", "batches", "load_transforms", "path_of", "store"]

TRANSFORMS = ("g_a", "g_s", "gains")  # Copied from the model whose latents are stored.


def load_transforms(model: Model, source: str) -> None:
  """Copies g_a, g_s and the gains of another model, and excludes them from training.

  Args:
    model: a built model; its other networks do not change.
    source: a model directory, or the name of a shipped model.

  Raises:
    ValueError: the source does not exist, or its transforms have other shapes.
  """
  config = model_directory.load_config(source)
  for name in ("num_filters", "latent_channels", "gain_lambdas"):
    theirs, ours = getattr(config, name), getattr(model.config, name)
    if theirs != ours:
      raise ValueError(f"the latents of {source} have {name} {theirs}, not {ours}")
  theirs = array_files.read(catalogue.find(source), array_files.WEIGHTS, _is_of_transforms)
  ours = {k: v for k, v in weights.to_arrays(model).items() if not _is_of_transforms(k)}
  weights.assign(model, {**theirs, **ours})
  for name in TRANSFORMS:
    if getattr(model, name) is not None:
      getattr(model, name).trainable = False


def _is_of_transforms(name):
  return name.partition("/")[0] in TRANSFORMS


def path_of(config: TrainConfig, photographs: list[str]) -> pathlib.Path:
  """The file of the latents of a run; runs that differ only in the prior share it.

  Args:
    config: config of the run.
    photographs: paths of the photographs, or the name of the dataset.

  Raises:
    ValueError: the model of `latents_of` does not exist, or its weights are missing or damaged.
  """
  directory = catalogue.find(config.latents_of)
  arrays = array_files.read(directory, array_files.WEIGHTS, lambda name: name.startswith("g_a/"))
  settings = [photographs, config.crop, config.seed, config.downscale, config.stored_crops]
  digest = hashlib.sha256(json.dumps(settings).encode())
  for name in sorted(arrays):
    digest.update(arrays[name].tobytes())
  return pathlib.Path(config.latents_dir) / f"{digest.hexdigest()[:16]}.npy"


def store(
  config: TrainConfig, crop_batches: Callable[[], Iterable[tf.Tensor]], path: pathlib.Path
) -> None:
  """Writes latents [stored_crops, h, w, M] float16, completely or not at all, unless they exist.

  Args:
    config: config of the run.
    crop_batches: returns batches [B, crop, crop, 3] uint8, at least `stored_crops` crops in total;
      called only if the latents do not exist, because it decodes photographs.
    path: path of the file.

  Raises:
    OSError: the file cannot be written.
    ValueError: the model of `latents_of` does not exist.
  """
  if path.exists():
    logging.info("Latents of %s: %s.", config.latents_of, path)
    return
  model = model_directory.load_model(config.latents_of)
  analysis = tf.function(model.analysis_without_gains, reduce_retracing=True)
  side = cfg.latent_size(config.crop)
  shape = (config.stored_crops, side, side, model.config.latent_channels)
  gib = np.prod(shape) * 2 / 2**30
  logging.info("Storing latents of %d crops, %.2f GiB, as %s.", config.stored_crops, gib, path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f".{os.getpid()}.tmp")
  try:
    latents = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
    start = 0
    for batch in crop_batches():
      y = analysis(batch)[: len(latents) - start]
      latents[start : start + len(y)] = y
      start += len(y)
    latents.flush()
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)


def batches(
  path: pathlib.Path,
  batch: int,
  seed: int,
  first_step: int,
  last_step: int,
  part: tf.distribute.InputContext,
) -> tf.data.Dataset:
  """Stored latents in the order of `crops.indexed_examples`.

  Args:
    path: path of the file.
    batch, seed, first_step, last_step, part: see `crops.indexed_examples`.

  Returns:
    Batches [batch / devices, h, w, M] float16, one per device for each step.
  """
  latents = np.load(path, mmap_mode="r")

  def latents_at(index, _):
    y = tf.numpy_function(lambda i: np.array(latents[i]), [index], tf.float16)
    return tf.ensure_shape(y, latents.shape[1:])

  return crops.indexed_examples(latents_at, len(latents), batch, seed, first_step, last_step, part)
