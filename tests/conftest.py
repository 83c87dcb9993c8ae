"""Small models that tests share, and the paper's formulas in NumPy to check them against."""

import gc
import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads this on import.

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats
from tensorflow.python.framework import ops

from bmshj_minnen import config
from bmshj_minnen.model import Model
from tests import execution

gc.freeze()  # Otherwise each collection would visit the million objects of TensorFlow's import.


def _build(prior, num_filters=4, latent_channels=6, seed=1, **fields):
  tf.keras.utils.set_random_seed(seed)
  model = Model(config.ModelConfig(prior, num_filters, latent_channels, **fields))
  # The initial biases of 0 and diagonal gammas would hide mistakes.
  for variable in model.trainable_variables:
    variable.assign_add(tf.random.normal(variable.shape, stddev=0.2))
  return model


@pytest.fixture(scope="session")
def _gradients():
  """Names of removed custom gradients whose graphs may not have been collected yet."""
  return []


@pytest.fixture(autouse=True)
def _forget_graphs(_gradients):
  """Frees the graphs that a test has traced, which TensorFlow would keep forever.

  Each custom gradient in a graph gets its own entry in a register, and references the graph.
  """
  register = ops.gradient_registry._registry
  before = set(register)
  yield
  for name in set(register) - before:
    _gradients.append(name)
    del register[name]
  if len(_gradients) > 100:  # A training step has dozens; collecting takes a quarter of a second.
    _gradients.clear()
    gc.collect()


def _run_eagerly():
  with execution.eagerly():
    yield


eagerly = pytest.fixture(_run_eagerly, name="eagerly")
module_eagerly = pytest.fixture(_run_eagerly, scope="module", name="module_eagerly")


@pytest.fixture
def ctrl_c():
  """Enables SIGINT, which shells disable in background jobs."""
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  yield
  signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def build_model():
  """(prior, num_filters=4, latent_channels=6, seed=1, **fields) -> a model with random weights."""
  return _build


@pytest.fixture(scope="session")
def tiny_model():
  """Prior -> the session's model with N = 4 and M = 6; tests must not change its weights."""
  models = {}

  def get(prior):
    if prior not in models:
      models[prior] = _build(prior)
    return models[prior]

  return get


@pytest.fixture(scope="session")
def reference():
  """The class `Reference`."""
  return Reference


class Reference:
  """The networks of a model and their densities in float64, one image [H, W, C] at a time.

  It reads only numbers of the model (kernels, biases, ...), never its results.
  """

  # Positions decoded before the middle one, row by row; type B adds the middle.
  CAUSAL_MASKS = {
    "A": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0] * 5, [0] * 5]),
    "B": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0] * 5, [0] * 5]),
  }

  def __init__(self, model):
    self._model = model
    self._prior = model.config.prior

  def g_a(self, x):
    """Pixels in 0..1 -> y."""
    layers = self._model.g_a.layers
    for layer in layers[:3]:
      x = _conv(x, layer, stride=2)
      x = x / _gdn_norm(x, layer.activation)
    return _conv(x, layers[3], stride=2)

  def g_s(self, y_hat):
    """ŷ -> pixels in about 0..1."""
    x, layers = y_hat, self._model.g_s.layers
    for layer in layers[:3]:
      x = _deconv(x, layer)
      x = x * _gdn_norm(x, layer.activation)
    return _deconv(x, layers[3])

  def h_a(self, y):
    """The transform y -> z."""
    layers = self._model.h_a.layers
    x = np.abs(y) if self._prior == "scale_hyperprior" else y
    x = self._activation(_conv(x, layers[0]))
    x = self._activation(_conv(x, layers[1], stride=2))
    return _conv(x, layers[2], stride=2)

  def h_s(self, z_hat):
    """ẑ -> psi, without cropping."""
    layers = self._model.h_s.layers
    x = self._activation(_deconv(z_hat, layers[0]))
    x = self._activation(_deconv(x, layers[1]))
    return _conv(x, layers[2])

  def g_cm(self, y_hat):
    """ŷ -> phi."""
    kernel = self._model.g_cm.kernel.numpy() * self.CAUSAL_MASKS["A"][:, :, None, None]
    return _correlation(y_hat, kernel) + self._model.g_cm.bias.numpy()

  def g_ep(self, features):
    """(psi, phi) -> means and raw scales."""
    x = np.asarray(features, np.float64)
    for i, layer in enumerate(self._model.g_ep.layers):
      x = x @ layer.kernel.numpy() + layer.bias.numpy()
      x = _leaky_relu(x) if i < 2 else x
    return x

  def mean_and_scale(self, y_hat, z_hat):
    """Parameters of the Gaussians, for all priors except the factorized one; ẑ may be None."""
    features = [] if z_hat is None else [self.h_s(z_hat)[: y_hat.shape[0], : y_hat.shape[1]]]
    if self._model.g_cm is not None:
      features.append(self.g_cm(y_hat))
    x = np.concatenate(features, -1)
    if self._model.g_ep is not None:
      x = self.g_ep(x)
    mean, raw = (np.zeros_like(x), x) if self._prior == "scale_hyperprior" else np.split(x, 2, -1)
    index = np.clip(4 * raw + 15, 0, 63)
    return mean, 0.11 * (256 / 0.11) ** (index / 63)

  def _activation(self, x):
    return np.maximum(x, 0) if self._prior == "scale_hyperprior" else _leaky_relu(x)

  @staticmethod
  def normal_mass(y_hat, mean, scale):
    """The mass of N(mean, scale²) in ŷ ± ½."""
    distance = np.abs(np.asarray(y_hat, np.float64) - mean)
    # Both on the left tail, where differences of cumulatives keep their digits.
    return stats.norm.cdf((0.5 - distance) / scale) - stats.norm.cdf((-0.5 - distance) / scale)

  @staticmethod
  def factorized_mass(density, z):
    """The mass of the learned densities in z ± ½; z [..., C]."""
    z = np.asarray(z, np.float64)
    below, above = _cumulative_logits(density, z - 0.5), _cumulative_logits(density, z + 0.5)
    # sigmoid(a) - sigmoid(b) = sigmoid(-b) - sigmoid(-a): take the side that keeps its digits.
    right = below + above > 0
    low, high = np.where(right, -above, below), np.where(right, -below, above)
    return special.expit(high) - special.expit(low)

  @staticmethod
  def factorized_tails(density, z):
    """The masses of the learned densities, without the box, below and above z [..., C]."""
    logits = _cumulative_logits(density, np.asarray(z, np.float64))
    return special.expit(logits), special.expit(-logits)

  @staticmethod
  def bits(mass):
    """Information content, at most -log2(1e-9)."""
    return -np.log2(np.maximum(mass, 1e-9))


def _leaky_relu(x):
  return np.where(x < 0, 51 / 256 * x, x)


def _correlation(x, kernel, stride=1):
  """Correlates, with zeros outside; the first output is aligned with the first input."""
  support, (height, width) = len(kernel), x.shape[:2]
  margin = (support // 2, support // 2)
  padded = np.pad(np.asarray(x, np.float64), [margin, margin, (0, 0)])
  taps = [(u, v) for u in range(support) for v in range(support)]
  total = sum(padded[u : u + height, v : v + width] @ kernel[u, v] for u, v in taps)
  return total[::stride, ::stride]


def _conv(x, layer, stride=1):
  return _correlation(x, layer.kernel.numpy(), stride) + layer.bias.numpy()


def _deconv(x, layer):
  """Inserts zeros after each sample, then convolves: correlates with the flipped kernel."""
  height, width, channels = x.shape
  spread = np.zeros([2 * height, 2 * width, channels])
  spread[::2, ::2] = x
  return _correlation(spread, layer.kernel.numpy()[::-1, ::-1]) + layer.bias.numpy()


def _gdn_norm(x, gdn):
  """sqrt(beta_i + sum_j gamma_ji x_j²), where gamma is stored [j, i]."""
  return np.sqrt(gdn.beta.numpy() + np.einsum("hwj,ji->hwi", x**2, gdn.gamma.numpy()))


def _cumulative_logits(density, z):
  """f_3 ∘ f_2 ∘ f_1 of Ballé et al. (2018), appendix 6.1, without the last sigmoid; z [..., C]."""
  values = {
    v.name.split("/")[-1].split(":")[0]: v.numpy().astype(np.float64)
    for v in density.density.trainable_variables
  }
  x = z.reshape(-1, z.shape[-1]).T[:, None]  # [C, 1, n]
  for k in range(3):
    x = np.log1p(np.exp(values[f"matrix_{k}"])) @ x + values[f"bias_{k}"]
    if k < 2:
      x = x + np.tanh(values[f"factor_{k}"]) * np.tanh(x)
  return x[:, 0].T.reshape(z.shape)
