"""Small codecs and pictures that several tests use."""

import functools
import pathlib

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen import data, model_directory
from bmshj_minnen.coding.freezing import freeze
from bmshj_minnen.coding.frozen_prior import FrozenPrior

N, M = 8, 12


@functools.cache
def make_model(prior: str, seed: int = 1) -> bmshj_minnen.Model:
  """An untrained model whose latents are not all zero, and whose tables get outliers."""
  tf.keras.utils.set_random_seed(seed)
  model = bmshj_minnen.Model(bmshj_minnen.ModelConfig(prior, N, M))
  model_directory.create_variables(model)
  layers = [model.g_a.layers[-1]] + ([model.h_a.layers[-1]] if model.h_a else [])
  for layer in layers:
    for part in (layer.kernel_parameter.real, layer.kernel_parameter.imag):
      part.assign(20 * part)
  return model


def make_codec(prior: str, folder: pathlib.Path) -> tuple[bmshj_minnen.Codec, FrozenPrior]:
  """Saves and loads `make_model(prior)`."""
  model = make_model(prior)
  typical = tf.constant(photograph(128, 128)[None])
  model_directory.save(model, folder / prior, typical)
  return bmshj_minnen.load(folder / prior), freeze(model, typical)


@functools.cache
def _whole_photograph():
  return bmshj_minnen.read_image(data.bundled_photographs()[0])


def photograph(height: int, width: int) -> np.ndarray:
  """[height, width, 3] uint8, part of a photograph."""
  return _whole_photograph()[:height, :width]
