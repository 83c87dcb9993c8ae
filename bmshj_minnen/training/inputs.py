"""The batches of a run: photographs, a dataset, stored latents, or the caller's own dataset."""

import dataclasses
import functools
from typing import Any

import tensorflow as tf
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.data import crops, finding
from bmshj_minnen.training import stored_latents
from bmshj_minnen.training.own_parts import OwnParts
from bmshj_minnen.training.train_config import TrainConfig

__all__ = ["Inputs", "find_validation"]

_WHOLE = tf.distribute.InputContext()  # One machine with one device.
_STRIDE = cfg.LATENT_STRIDE * cfg.HYPER_STRIDE


class Inputs:
  """Finds the photographs of a run, and makes its batches from any step on.

  Raises:
    DataError: no photograph is usable.
    ValueError: the elements of the caller's dataset are not batches of photographs.
  """

  def __init__(self, config: TrainConfig, own: OwnParts):
    self._config, self._own = config, own.dataset
    self._photographs = None
    if own.dataset is None and not config.dataset:
      self._photographs = _find_photographs(config)
    if isinstance(own.dataset, tf.data.Dataset):
      _check_batches(own.dataset)

  def record(self) -> dict[str, Any]:
    """The photographs and those that were skipped, for the record of the run."""
    if self._photographs:
      return {"train": self._photographs.paths, "train_skipped": self._photographs.skipped}
    train = self._config.dataset if self._own is None else "a dataset that was given"
    return {"train": train, "train_skipped": {}}

  def batches(self, strategy: tf.distribute.Strategy, first_step: int) -> Any:
    """The batches from a step on, for Keras's `fit` under a strategy."""
    if self._own is not None:
      options = tf.data.Options()
      # Datasets of one file cannot be divided by file, as is tried by default.
      options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
      own = self._own_batches(first_step).with_options(options)
      return strategy.experimental_distribute_dataset(own)
    make = self._stored_latents if self._config.latents_of else self._crops
    return strategy.distribute_datasets_from_function(
      functools.partial(make, self._config, first_step)
    )

  def _own_batches(self, first_step):
    if isinstance(self._own, tf.data.Dataset):
      return self._own.repeat().skip(first_step)
    batches = self._own(first_step)
    _check_batches(batches)
    return batches

  def _stored_latents(self, config, first_step, part):
    names = self._photographs.paths if self._photographs else [config.dataset]
    path = stored_latents.path_of(config, list(names))
    count = -(-config.stored_crops // config.batch)
    settings = dataclasses.replace(config, steps=count)
    stored_latents.store(config, functools.partial(self._crops, settings, 0, _WHOLE), path)
    return stored_latents.batches(path, config.batch, config.seed, first_step, config.steps, part)

  def _crops(self, config, first_step, part):
    settings = crops.CropSettings(
      config.crop, config.batch, config.seed, first_step, config.steps, part, config.downscale
    )
    if self._photographs:
      return crops.photograph_crops(self._photographs.paths, settings)
    from bmshj_minnen.data import datasets  # Takes seconds to import; needed only here.

    return datasets.dataset_crops(config.dataset, config.data_dir, settings)


def _find_photographs(config):
  if config.train_glob:
    photographs = finding.find_photographs([config.train_glob], config.crop)
    logging.info("Training on %s.", photographs.summary())
  else:
    photographs = finding.find_photographs(finding.bundled_photographs(), config.crop)
    logging.info(
      "Training on the %d sample photographs that scikit-image and scikit-learn carry. That shows "
      "that everything works; a good model needs thousands: --train_glob='photos/**/*.png'.",
      len(photographs.paths),
    )
  return photographs


def _check_batches(dataset):
  spec = dataset.element_spec
  shape = spec.shape if isinstance(spec, tf.TensorSpec) else None
  if shape is None or not shape.is_compatible_with([None, None, None, 3]):
    raise ValueError(f"a dataset for training has batches of photographs [B, H, W, 3], not {spec}")
  if any(side is not None and side % _STRIDE for side in shape[1:3]):
    raise ValueError(f"photographs for training have sides that are multiples of {_STRIDE}: {spec}")


def find_validation(config: TrainConfig) -> finding.PhotographList:
  """The photographs of `validation_glob`, or else bundled photographs that training never sees.

  Raises:
    DataError: no photograph is usable.
  """
  patterns = [config.validation_glob] if config.validation_glob else finding.held_out_photographs()
  photographs = finding.find_photographs(patterns, config.crop)
  logging.info("Validating on %s.", photographs.summary())
  return photographs
