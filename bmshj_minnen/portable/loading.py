"""Codecs of models on disk, without TensorFlow."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from bmshj_minnen.coding import fixed_point, tiling
from bmshj_minnen.coding.arrays import Arrays
from bmshj_minnen.coding.codec import Codec, check_limits
from bmshj_minnen.coding.image_transforms import ImageTransforms
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.coding.networks import IntegerNetworks
from bmshj_minnen.coding.prior_coder import PriorCoder
from bmshj_minnen.coding.range_coder import RangeCoder
from bmshj_minnen.config import CODEC_PRECISIONS
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.reading import DEFAULT_MAX_PIXELS
from bmshj_minnen.model_files import catalogue
from bmshj_minnen.model_files.array_files import WEIGHTS
from bmshj_minnen.model_files.codec_files import Shipped, read_prior, read_weights, set_origin
from bmshj_minnen.portable import manifest
from bmshj_minnen.portable.onnx_networks import OnnxNetworks
from bmshj_minnen.portable.onnx_transforms import OnnxTransforms
from bmshj_minnen.portable.sessions import CPU, Sessions
from bmshj_minnen.quality import Dial

__all__ = [
  "GRAPHS",
  "ONLY_TENSORFLOW",
  "array_coder",
  "graphs_of",
  "has_graphs",
  "is_export",
  "load",
  "load_for",
  "read_graphs",
]

GRAPHS = "onnx"  # The folder of the graphs in a model directory.
_TRANSFORMS = ("g_a", "h_a", "g_s")
# Options of `bmshj_minnen.load` that need TensorFlow, and their values that do not.
ONLY_TENSORFLOW = {
  "precision": (CODEC_PRECISIONS[0], "auto"),
  "refine": (0,),
  "lmbda": (None,),
  "effort": (0,),
}


def load(
  model: str = catalogue.DEFAULT,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  quality: Optional[float] = None,
  providers: Sequence[Any] = CPU,
  **options: Any,
) -> Codec:
  """The codec of a model, in ONNX Runtime and NumPy.

  A file decodes to the same ŷ as everywhere; a pixel may differ by one level from TensorFlow's.

  Args:
    model: the name of a model that ships, or a directory that `export --format=onnx` wrote.
    max_pixels: the largest image that `decompress` accepts, in pixels.
    memory: bytes that the networks may take in one call, roughly.
    quality: the quality if a call gives none, for models for many rates; None: 50, see `quality`.
    providers: ONNX Runtime's execution providers for g_a, h_a and g_s in order of preference, such
      as "CUDAExecutionProvider"; only the CPU's was tried. Entropy parameters are always computed
      on the CPU: h_s in NumPy, g_cm and g_ep in ONNX Runtime where its products are exact.
    **options: other arguments of `bmshj_minnen.load`, at their defaults.

  Raises:
    TypeError: an option is unknown.
    ValueError: the model or the quality is unknown, a limit is not a whole number, the model has no
      graphs, a file of it is damaged, its files belong to different models, or an option needs
      TensorFlow.
  """
  _refuse(options)
  check_limits(max_pixels, memory)
  directory = catalogue.find(model)
  return _codec(directory, read_prior(directory), max_pixels, memory, providers, quality)


def _refuse(options):
  """Raises if an option needs TensorFlow, or if `bmshj_minnen.load` does not have it."""
  for name, value in options.items():
    if name not in ONLY_TENSORFLOW:
      raise TypeError(f"load() got an unexpected keyword argument {name!r}")
    if value not in ONLY_TENSORFLOW[name]:
      raise ValueError(
        f"{name} needs TensorFlow, which has packages for Python 3.9 to 3.11 on Linux with an"
        " x86-64 processor"
      )


def load_for(
  file: bytes,
  max_pixels: int = DEFAULT_MAX_PIXELS,
  memory: int = tiling.DEFAULT_MEMORY,
  providers: Sequence[Any] = CPU,
  **options: Any,
) -> Codec:
  """The codec of the shipped model that wrote a file.

  Args:
    file: the whole file.
    max_pixels: the largest image that `decompress` accepts, in pixels.
    memory: bytes that the networks may take in one call, roughly.
    providers: ONNX Runtime's execution providers in order of preference, see `load`.
    **options: other arguments of `bmshj_minnen.load_for`, at their defaults.

  Raises:
    BitstreamError: the file is damaged.
    TypeError: an option is unknown.
    ValueError: no shipped model wrote the file, a limit is not a whole number, or an option needs
      TensorFlow.
  """
  _refuse(options)
  check_limits(max_pixels, memory)
  return _SHIPPED.codec_for(file, max_pixels, memory, tuple(providers))


def graphs_of(directory: pathlib.Path) -> pathlib.Path:
  """The folder of the ONNX graphs of a model directory."""
  inside = directory / GRAPHS
  return inside if (inside / manifest.MANIFEST).exists() else directory


def has_graphs(directory: pathlib.Path) -> bool:
  """Whether a model directory holds ONNX graphs."""
  return (graphs_of(directory) / manifest.MANIFEST).exists()


def is_export(directory: pathlib.Path) -> bool:
  """Whether a directory holds graphs and their weights, which TensorFlow does not read."""
  return has_graphs(directory) and not manifest.read(graphs_of(directory)).graphs["g_a"].weights


def _codec(directory, prior, max_pixels, memory, providers, quality=None):
  folder = graphs_of(directory)
  weights = read_weights(directory, prior.fingerprint, (*_TRANSFORMS, "gains"))
  graphs = read_graphs(folder, directory, prior, weights)
  dial = None
  if prior.config.gain_lambdas:
    dial = Dial(prior.config, weights["gains/log_gain"], weights["gains/log_inverse"])
  transforms = OnnxTransforms(graphs, Sessions(folder, graphs, weights, providers))
  codec = Codec(
    prior,
    ImageTransforms(prior.config, transforms, dial),
    LatentCoder(prior, array_coder(prior, functools.partial(OnnxNetworks, folder, graphs))),
    max_pixels=max_pixels,
    memory=memory,
    quality=quality,
  )
  set_origin(codec, load, directory, max_pixels, memory, quality, providers)
  return codec


def read_graphs(
  folder: pathlib.Path,
  directory: pathlib.Path,
  prior: FrozenPrior,
  weights: Mapping[str, np.ndarray],
) -> manifest.Manifest:
  """The manifest of a folder of graphs, which is compared with the graphs and with their model.

  Args:
    folder: the folder of the graphs.
    directory: the model directory, for messages.
    prior: the integer prior of the model.
    weights: the weights of the model.

  Raises:
    ValueError: the manifest is damaged or of another model, or a graph or a weight is missing. The
      message names the file.
  """
  graphs = manifest.read(folder)
  if graphs.fingerprint != prior.fingerprint.hex():
    raise ValueError(f"{folder}: the graphs are of another model: export them again")
  for graph in graphs.graphs.values():
    if not (folder / graph.file).is_file():
      raise ValueError(f"{folder / graph.file} is missing: {manifest.REMEDY}")
  used = [graphs.graphs[name] for name in _TRANSFORMS if name in graphs.graphs]
  needed = [key for graph in used for key in graph.weights]
  needed += ["gains/log_gain", "gains/log_inverse"] if prior.config.gain_lambdas else []
  lacking = [name for name in needed if name not in weights]
  if lacking:
    raise ValueError(f"{directory / WEIGHTS} lacks {lacking[0]}: {manifest.REMEDY}")
  return graphs


def array_coder(
  prior: FrozenPrior, networks: Callable[[FrozenPrior, str], IntegerNetworks] = IntegerNetworks
) -> PriorCoder:
  """The coder of a prior for arrays, with the first dtype whose matrix products prove exact.

  Args:
    prior: the integer prior.
    networks: makes its networks for arrays.

  Raises:
    RuntimeError: no dtype has exact products.
  """
  dtype = fixed_point.exact_dtype(_probed, "the library that NumPy multiplies matrices with")
  return PriorCoder(prior, networks(prior, dtype), RangeCoder(prior.tables), Arrays)


def _probed(layer, dtype, x):
  return [fixed_point.CompiledLayer(layer, dtype)(fixed_point.split(x))]


_SHIPPED = Shipped(_codec)
