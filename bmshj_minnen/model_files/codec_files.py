"""Files that a codec reads from a model directory, with any runtime; needs no TensorFlow."""

import json
import logging
import os
import pathlib
import threading
from typing import Any, Callable, Optional

import numpy as np

from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.format.reading import parse_intact
from bmshj_minnen.model_files import array_files, catalogue
from bmshj_minnen.model_files.array_files import CODER, WEIGHTS

__all__ = ["CODER_FINGERPRINT", "Shipped", "read_prior", "read_weights", "set_origin"]

# The array among the weights with the fingerprint of the coder that was saved with them.
CODER_FINGERPRINT = "coder"


def read_prior(directory: pathlib.Path) -> FrozenPrior:
  """The integer prior of a model.

  Raises:
    ValueError: the prior is missing or damaged.
  """
  arrays = array_files.read(directory, CODER)
  try:
    return FrozenPrior.from_arrays(arrays)
  except (KeyError, TypeError, json.JSONDecodeError) as error:
    raise ValueError(
      f"{directory / CODER} lacks a part, or is of a newer version: copy or export the model again "
      f"({error})"
    ) from error


def read_weights(
  directory: pathlib.Path, fingerprint: bytes, parts: Optional[tuple[str, ...]] = None
) -> dict[str, np.ndarray]:
  """The weights that were saved with the prior of this fingerprint, by name.

  Args:
    directory: the model directory.
    fingerprint: fingerprint of the prior, 4 bytes.
    parts: networks whose weights are read, such as "g_s"; None: all.

  Raises:
    ValueError: the weights are missing, damaged, or of another model.
  """
  wanted = None if parts is None else lambda name: name.split("/")[0] in (*parts, CODER_FINGERPRINT)
  arrays = array_files.read(directory, WEIGHTS, wanted)
  held = arrays.pop(CODER_FINGERPRINT, None)
  if held is None:
    logging.warning(
      "%s: %s does not say with which %s it was saved; an older version wrote it.",
      directory,
      WEIGHTS,
      CODER,
    )
  elif held.tobytes() != fingerprint:
    raise ValueError(
      f"{directory}: {WEIGHTS} and {CODER} are of different models, as in a folder that was copied"
      " while training wrote to it: copy it again"
    )
  return arrays


def set_origin(
  codec: Codec, load: Callable[..., Codec], directory: pathlib.Path, *options: Any
) -> None:
  """Records how the codec is loaded again in another process.

  Args:
    codec: a codec of the model in `directory`.
    load: function of a module that takes a model and the options.
    directory: the model directory.
    *options: further positional arguments of `load`.
  """
  codec.origin = _load_again, (load, codec.fingerprint, _place(directory), *options)


def _load_again(load, fingerprint, model, *options):
  """Loads the same codec in another process."""
  codec = load(model, *options)
  if codec.fingerprint != fingerprint:
    raise ValueError(f"the model in {model} is no longer the one that was loaded")
  return codec


def _place(directory):
  """Argument that loads a model in another process: the name of a shipped model, else a path.

  Names are portable: the package may be in another folder on other machines.
  """
  if directory.name in catalogue.names() and directory == catalogue.find(directory.name):
    return directory.name
  return os.path.abspath(directory)


class Shipped:
  """The codecs of the shipped models, each made once; may be used by several threads.

  Args:
    make: function of a model directory, its prior and options that returns a codec.
  """

  def __init__(self, make: Callable[..., Codec]):
    self._make = make
    self._making = threading.Lock()
    self._codecs: dict[tuple, Codec] = {}  # By fingerprint and options.

  def codec_for(self, file: bytes, *options: Any) -> Codec:
    """The codec of the model that wrote a file.

    Raises:
      BitstreamError: the file is damaged.
      ValueError: no shipped model wrote it.
    """
    fingerprint = parse_intact(file)[0].fingerprint
    with self._making:
      key = (fingerprint, *options)
      if key not in self._codecs:
        self._codecs[key] = self._new(fingerprint, options)
      return self._codecs[key]

  def _new(self, fingerprint, options):
    for directory in map(catalogue.find, catalogue.names()):
      # Reading the fingerprint is quick; reading the prior is not.
      held = array_files.read(directory, WEIGHTS, lambda name: name == CODER_FINGERPRINT)
      if held[CODER_FINGERPRINT].tobytes() == fingerprint:
        prior = read_prior(directory)
        if prior.fingerprint == fingerprint:
          return self._make(directory, prior, *options)
    raise ValueError(
      f"no shipped model has the fingerprint {fingerprint.hex()}: give the model that wrote it"
    )
