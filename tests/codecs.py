"""Small codecs and pictures that several tests use."""

import functools
import pathlib
import threading
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

import bmshj_minnen
from bmshj_minnen.data import finding
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.model_files import snapshots

N, M = 8, 12

# Fields of converted models that differ from models trained here.
CONVERTED = {
  "h_s_channels": (7, 10),
  "leaky_slope": 0.01,
  "scale_output": "scale",
  "density_filters": (3, 3, 3, 3),
  "medians": True,
}


@functools.cache
def make_model(prior: str, seed: int = 1, **fields) -> bmshj_minnen.Model:
  """An untrained model whose latents are not all zero, and whose tables get outliers.

  Args:
    prior: prior of the configuration.
    seed: seed of the weights.
    fields: other fields of the configuration, except N and M.
  """
  tf.keras.utils.set_random_seed(seed)
  model = bmshj_minnen.Model(bmshj_minnen.ModelConfig(prior, N, M, **fields))
  if model.config.scale_output == "scale":
    bias = model.g_ep.layers[2].bias if model.g_ep else model.h_s.layers[2].bias_parameter
    scales = tf.linspace(0.0, 5.0, M)
    bias.assign(tf.concat([tf.zeros(bias.shape[0] - M), scales], 0))
  for density in (model.z_density, model.y_density):
    if density is not None and density.median is not None:
      density.median.assign(tf.linspace(-2.3, 1.9, density.median.shape[0]))
  layers = [model.g_a.layers[-1]] + ([model.h_a.layers[-1]] if model.h_a else [])
  for layer in layers:
    for part in (layer.kernel_parameter.real, layer.kernel_parameter.imag):
      part.assign(20 * part)
  return model


def fields_of(codec: bmshj_minnen.Codec) -> dict[str, Any]:
  """The arguments with which `make_model` makes the codec's model again."""
  fields = codec.config.fields()
  del fields["num_filters"], fields["latent_channels"]
  return fields


def model_of(codec: bmshj_minnen.Codec) -> bmshj_minnen.Model:
  """The model from which `make_codec` made the codec."""
  return make_model(**fields_of(codec))


def make_codec(
  prior: str, folder: pathlib.Path, **fields
) -> tuple[bmshj_minnen.Codec, FrozenPrior]:
  """Saves and loads `make_model(prior, **fields)`."""
  save_model(prior, folder / prior, **fields)
  return bmshj_minnen.load(folder / prior), _snapshot(prior=prior, **fields).frozen


def save_model(prior: str, directory: pathlib.Path, **fields) -> bmshj_minnen.Model:
  """Saves `make_model(prior, **fields)`, and returns it."""
  _snapshot(prior=prior, **fields).write(directory)
  return make_model(prior=prior, **fields)


@functools.cache
def _snapshot(**fields):
  return snapshots.take(make_model(**fields), tf.constant(photograph(128, 128)[None]))


def frozen_parameters(
  codec: bmshj_minnen.Codec, latents: bmshj_minnen.Latents
) -> tuple[np.ndarray, np.ndarray]:
  """Parameters of given latents by the integer networks, all positions at once.

  Returns:
    mean and table index, each [h * w, M]; means as multiples of 1, not of `y_step`.
  """
  networks, y_hat = codec._coder._coder.prior.networks, latents.y_hat
  height, width, _ = y_hat.shape
  neighbours = None
  if codec.config.parts.context:
    support = codec.config.context_support
    half = support // 2
    padded = np.pad(y_hat * networks.unit, [(half, 0), (half, half), (0, 0)])
    taps = [(r, c) for r in range(half + 1) for c in range(support) if (r, c) < (half, half)]
    seen = np.concatenate([padded[r : r + height, c : c + width] for r, c in taps], -1)
    neighbours = networks.split(tf.constant(seen.reshape(height * width, -1), tf.float32))
  psi = networks.psi(tf.constant(latents.z_hat), height, width)
  mean, index = networks.parameters(networks.prepare(psi), neighbours)
  return mean.numpy() / networks.unit, index.numpy()


def float_parameters(
  model: bmshj_minnen.Model, latents: bmshj_minnen.Latents
) -> tuple[np.ndarray, np.ndarray]:
  """Parameters of given latents by the Keras networks: mean and scale, each [h * w, M]."""
  y_hat, psi = latents.y_hat[None], None
  if model.h_s is not None:
    psi = model.hyper_synthesis(latents.z_hat[None], y_hat.shape)
  mean, scale = model.parameters(psi, y_hat)
  return tuple(p[0].numpy().reshape(-1, y_hat.shape[-1]) for p in (mean, scale))


def in_time(function: Callable[[], Any], seconds: float = 60) -> Any:
  """The result of a function; fails the test if the function hangs.

  An error of the function is raised again. TensorFlow's operations cannot be interrupted: a thread
  that hangs stays behind.
  """
  outcome: list[tuple[Any, Optional[BaseException]]] = []

  def run():
    try:
      outcome.append((function(), None))
    except BaseException as error:
      outcome.append((None, error))

  thread = threading.Thread(target=run, daemon=True)
  thread.start()
  thread.join(seconds)
  assert outcome, f"it did not end within {seconds} seconds"
  result, error = outcome[0]
  if error is not None:
    raise error
  return result


def forget_peak() -> None:
  """Restarts `peak` from the present memory of this process."""
  pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
  """The peak memory of this process since `forget_peak`, bytes."""
  status = pathlib.Path("/proc/self/status").read_text()
  return int(status.split("VmHWM:")[1].split()[0]) * 1024


@functools.cache
def _whole_photograph():
  return bmshj_minnen.read_image(finding.bundled_photographs()[0])


def photograph(height: int, width: int) -> np.ndarray:
  """A part [height, width, 3] uint8 of a photograph."""
  return _whole_photograph()[:height, :width]
