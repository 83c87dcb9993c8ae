"""Codecs at settings, and photographs: the subjects of an evaluation."""

import dataclasses
import functools
import glob
import hashlib
import os
import pathlib
import re
import zlib
from collections.abc import Sequence
from typing import Callable, Optional

import numpy as np
from absl import logging

from bmshj_minnen import config as cfg
from bmshj_minnen.coding.codec import Codec
from bmshj_minnen.evaluation import classical, line_styles
from bmshj_minnen.images import image_files
from bmshj_minnen.model_files import catalogue, model_directory
from bmshj_minnen.quality import check_quality
from bmshj_minnen.runtime import precisions

__all__ = ["Contender", "EvaluationConfig", "Photograph", "find_contenders", "find_photographs"]

_QUALITIES = tuple(range(1, 101, 9))  # Default qualities of models for many rates.
# Number at the end of the name of one of several directories: joint-mse-1, joint-0.01.
_NUMBER = re.compile(r"-\d[\d.]*(e-?\d+)?$")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """Settings of an evaluation.

  Attributes:
    images: a glob of photographs; file names identify them.
    output: folder for the results.
    models: model directories, globs of them, or names of shipped models, also several separated by
      commas. Each model is one setting; a model for many rates is one setting per quality.
    label: name of the codec, that is, of the curve, of the models; empty: the names of their
      directories without the number at the end, with parent directories where these names are
      equal.
    codecs: names in `classical.FORMATS`.
    qualities: qualities of models for many rates, or of all `codecs` without such a model; empty:
      twelve from 1 to 100, and for codecs the qualities of `classical.FORMATS`.
    precision: precision of g_a and g_s, one of `config.CODEC_PRECISIONS`; models in bfloat16 are
      separate settings.
    refine: steps of gradient descent on the latents per image; refined models are separate codecs.
    lmbda: λ of the refinement; None: the λ of the training, or of the quality.
    alpha: treatment of transparency, see `image_files.read_image`.
    keep_files: whether the compressed files stay in the output folder.
    perceptual: names in `perceptual.METRICS`, columns that the table gets beside the others.
  """

  images: str
  output: str
  models: Sequence[str] = ()
  label: str = ""
  codecs: Sequence[str] = ()
  qualities: Sequence[int] = ()
  precision: str = cfg.CODEC_PRECISIONS[0]
  refine: int = 0
  lmbda: Optional[float] = None
  alpha: Optional[str] = None
  keep_files: bool = False
  perceptual: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Contender:
  """A codec at one setting.

  Attributes:
    codec, setting, version: see `measurements.Row`.
    suffix: suffix of compressed files, with the dot.
    make: loads the codec.
    model: the model directory; None for classical codecs.
  """

  codec: str
  setting: str
  version: str
  suffix: str
  make: Callable[[], classical.MeasuredCodec]
  model: Optional[pathlib.Path] = None


@dataclasses.dataclass(frozen=True)
class Photograph:
  """A photograph that is measured.

  Attributes:
    path: path of the file.
    name: name of the file.
    crc32: checksum, see `measurements.Row`.
    alpha: treatment of transparency, see `image_files.read_image`.
  """

  path: str
  name: str
  crc32: str
  alpha: Optional[str]

  def read(self) -> np.ndarray:
    """The pixels, [H, W, 3] uint8."""
    return image_files.read_image(self.path, self.alpha)


def find_photographs(pattern: str, alpha: Optional[str]) -> list[Photograph]:
  """The photographs that match a glob; for `alpha` see `image_files.read_image`.

  Raises:
    ValueError: no file matches, two have the same name, tables cannot store a name, or a file
      cannot be read.
  """
  found, unreadable = {}, []
  paths = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
  for path in paths:
    name = pathlib.Path(path).name
    _check_name(name)
    if name in found:
      raise ValueError(f"two photographs are called {name}: rename one of them")
    content = pathlib.Path(path).read_bytes()
    # The checksum covers `alpha`, which changes the pixels.
    crc32 = zlib.crc32((alpha or "").encode(), zlib.crc32(content))
    found[name] = Photograph(path, name, f"{crc32:08x}", alpha)
    try:
      image_files.read_image(path, alpha, content=content, note=logging.debug)
    except image_files.ImageError as error:
      unreadable.append(str(error))
  if not found:
    raise ValueError(f"no file matches {pattern}")
  if unreadable:  # Averages over only some of the photographs would mislead.
    counts = f"{len(unreadable)} of {len(paths)} files cannot be measured"
    raise ValueError(f"{counts}, leave them out of {pattern}: {'; '.join(unreadable)}")
  return list(found.values())


def _check_name(name):
  """Raises ValueError if tables cannot store a name."""
  shown = ascii(name)
  try:
    name.encode()
  except UnicodeEncodeError:
    raise ValueError(f"the name {shown} is not UTF-8: rename it") from None
  if "\n" in name or "\r" in name:
    raise ValueError(f"the name {shown} holds a line end: rename it")


def find_contenders(config: EvaluationConfig) -> list[Contender]:
  """Models and codecs of a configuration, in its order; none is loaded yet.

  Raises:
    ValueError: the configuration has neither models nor codecs; a model, codec or quality is not
      valid; a setting occurs twice; or tables cannot store a name.
  """
  directories = [
    catalogue.find(directory)
    for patterns in config.models
    # A directory may have a comma in its name.
    for pattern in ([patterns] if os.path.exists(patterns) else patterns.split(","))
    for directory in sorted(glob.glob(pattern)) or [pattern]
  ]
  labels = _labels(directories)
  contenders = []
  for directory in directories:
    contenders += _model(directory, config.label or labels[directory], config)
  # Qualities of models and codecs have different meanings, and sometimes different ranges.
  dialled = any(_model_config(directory).gain_lambdas for directory in directories)
  for name in config.codecs:
    contenders += _classical(name, () if dialled else config.qualities)
  if not contenders:
    raise ValueError("nothing to evaluate: give --model or --codecs")
  names = [f"{c.codec} {c.setting}" for c in contenders]
  for name in names:
    _check_name(name)
  twice = {name for name in names if names.count(name) > 1}
  if twice:
    remedy = "; leave out --label" if config.label else ""
    raise ValueError(f"{twice.pop()} is given twice{remedy}")
  return contenders


def _labels(directories):
  """Directory -> name of its curve, shared by one family of models in one parent directory."""
  families = {}
  for directory in directories:
    path = directory.resolve()
    if _model_config(directory).gain_lambdas:  # A separate curve.
      name = f"{path.name} many rates"
    else:
      name = _NUMBER.sub("", path.name)
    families[directory] = (name, path.parent)
  labels = {}
  for directory, (name, parent) in families.items():
    parents = {other for family, other in families.values() if family == name}
    above = os.path.commonpath(parents)
    if pathlib.Path(above) in parents:
      above = os.path.dirname(above)
    alone = len(parents) == 1
    labels[directory] = name if alone else f"{os.path.relpath(parent, above)}/{name}"
  return labels


def _model_config(directory):
  if not any(directory.glob("*.npz")):
    raise ValueError(f"{directory} is not a trained model: it has no weights")
  return cfg.ModelConfig.load(directory / "config.json")


def _model(directory, codec, config):
  files = sorted(directory.glob("*.npz"))
  digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
  model_config = _model_config(directory)
  if codec in classical.FORMATS:
    raise ValueError(f"{directory} cannot be called {codec}: give another --label")
  codec += f"{line_styles.REFINED}{config.refine}" if config.refine else ""
  setting = directory.resolve().name
  setting += f" λ={config.lmbda:g}" if config.lmbda else ""
  precision = precisions.resolve(config.precision)
  if precision != cfg.CODEC_PRECISIONS[0]:
    setting += f" {precision}"
  load = functools.partial(
    model_directory.load,
    directory,
    precision=precision,
    refine=config.refine,
    lmbda=config.lmbda,
  )
  if not model_config.gain_lambdas:
    return [Contender(codec, setting, digest[:8], ".tfci", load, directory)]
  qualities = config.qualities or _QUALITIES
  for quality in qualities:
    check_quality(quality, model_config)  # Raises before any measurement.
  load = functools.cache(load)  # Loads once for all qualities.
  return [
    Contender(
      codec,
      f"{setting} q{quality}",
      digest[:8],
      ".tfci",
      lambda quality=quality: _AtQuality(load(), quality),
      directory,
    )
    for quality in qualities
  ]


@dataclasses.dataclass(frozen=True)
class _AtQuality:
  """A codec for many rates at one quality."""

  codec: Codec
  quality: int

  def compress(self, image):
    return self.codec.compress(image, quality=self.quality)

  def decompress(self, data):
    return self.codec.decompress(data)

  def latents(self, data):
    return self.codec.latents(data)


def _classical(name, qualities):
  contenders = []
  form = classical.FORMATS.get(name)
  for quality in qualities or getattr(form, "qualities", (0,)):
    codec = classical.make(name, quality)  # Raises before any measurement.
    contenders.append(
      Contender(name, str(quality), form.version(), form.suffix, lambda codec=codec: codec)
    )
  return contenders
