"""The campaign's models, made with TensorFlow: small, untrained, with every prior."""

import concurrent.futures
import multiprocessing
import pathlib

import numpy as np

import bmshj_minnen
from bmshj_minnen import config
from experiments.exactness import runtimes

__all__ = ["MAX_PIXELS", "load", "make", "photograph"]

MAX_PIXELS = 2**16
_CHANNELS = {"num_filters": 8, "latent_channels": 12}
_GAIN_LAMBDAS = (0.005, 0.05)
_VARIANTS = [(prior, lambdas) for lambdas in (None, _GAIN_LAMBDAS) for prior in config.PRIORS]
_NAMES = [f"{prior}{'_gains' if lambdas else ''}" for prior, lambdas in _VARIANTS]
_PHOTOGRAPH = "photograph.png"


def load(folder: pathlib.Path, runtime: str) -> list[bmshj_minnen.Codec]:
  """Small codecs of every prior, for one rate and then for many; makes missing models.

  Models are made in another process, so that memory here belongs to the runtime alone.
  """
  if not _is_there(folder, runtime):
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
      pool.submit(make, folder, runtime).result()
  return [runtimes.load(runtime, folder / name, max_pixels=MAX_PIXELS) for name in _NAMES]


def photograph(folder: pathlib.Path) -> np.ndarray:
  """The photograph [H, W, 3] uint8 that `load` leaves beside the models."""
  return bmshj_minnen.read_image(folder / _PHOTOGRAPH)


def _written_last(directory, runtime):
  return directory / ("coder.npz" if runtime == runtimes.TENSORFLOW else "onnx/manifest.json")


def _is_there(folder, runtime):
  return all(_written_last(folder / name, runtime).exists() for name in _NAMES)


def make(folder: pathlib.Path, runtime: str) -> None:
  """Writes missing models, with ONNX graphs if the runtime needs them."""
  import tensorflow as tf

  from bmshj_minnen.data import finding
  from bmshj_minnen.model_files import model_directory

  image = bmshj_minnen.read_image(finding.bundled_photographs()[0])
  bmshj_minnen.write_image(str(folder / _PHOTOGRAPH), image)
  for seed, (name, (prior, lambdas)) in enumerate(zip(_NAMES, _VARIANTS)):
    directory = folder / name
    if not _written_last(directory, runtimes.TENSORFLOW).exists():
      tf.keras.utils.set_random_seed(seed)
      gains = {"gain_lambdas": lambdas} if lambdas else {}
      model = bmshj_minnen.Model(bmshj_minnen.ModelConfig(prior, **_CHANNELS, **gains))
      for layer in [model.g_a.layers[-1]] + ([model.h_a.layers[-1]] if model.h_a else []):
        for part in (layer.kernel_parameter.real, layer.kernel_parameter.imag):
          part.assign(20 * part)  # Otherwise untrained latents are all zero.
      model_directory.save(model, directory, tf.constant(image[None, :128, :128]))
    if runtime == runtimes.ONNX and not _written_last(directory, runtime).exists():
      from bmshj_minnen.serving import onnx_export

      (directory / "onnx").mkdir(exist_ok=True)
      onnx_export.write_graphs(str(directory), directory / "onnx", inside=False)
