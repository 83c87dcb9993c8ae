"""Muon's laws, against NumPy's singular value decomposition and Keras's Adam."""

import numpy as np
import pytest
import tensorflow as tf

from bmshj_minnen.training.muon import Muon, orthogonalize

_RATE = 0.01


@pytest.mark.parametrize("shape", [(200, 24), (24, 200), (5, 1), (32, 32)])
def test_orthogonalizing_keeps_directions_and_evens_out_lengths(shape):
  x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  left, values, right = np.linalg.svd(x, full_matrices=False)
  inner = left.T @ orthogonalize(tf.constant(x)).numpy() @ right.T
  lengths = np.diag(inner)
  np.testing.assert_allclose(inner, np.diag(lengths), atol=2e-3)
  # The smallest singular value of a square matrix is too small to converge.
  assert np.all(lengths[values > 0.01 * np.linalg.norm(values)] > 0.65)
  assert np.all(lengths < 1.25)


def test_orthogonalizing_nothing_gives_nothing():
  assert not orthogonalize(tf.zeros([6, 4])).numpy().any()


def _steps(optimizer, variable, gradients):
  optimizer.build([variable])
  for gradient in gradients:
    optimizer.apply_gradients([(tf.constant(gradient), variable)])
  return variable.numpy()


def _orthogonal(matrix):
  left, _, right = np.linalg.svd(matrix, full_matrices=False)
  return 0.2 * np.sqrt(max(matrix.shape)) * left @ right


@pytest.mark.parametrize(
  ("name", "shape", "to_matrix", "blocks"),
  [
    ("kernel", (3, 3, 4, 6), lambda x: x.reshape(-1, 6), 1),
    ("kernel_real", (4, 6, 5, 3), lambda x: x.transpose(0, 2, 3, 1).reshape(-1, 6), 1),
    ("kernel", (700, 400), lambda x: x, 3),
  ],
)
def test_a_kernel_moves_along_its_momentum_made_orthogonal(name, shape, to_matrix, blocks):
  generator = np.random.default_rng(1)
  start, *gradients = generator.normal(size=(3, *shape)).astype(np.float32)
  moved = _steps(Muon(_RATE), tf.Variable(start, name=name), gradients)
  expected, momentum = to_matrix(start).astype(np.float64), 0
  for gradient in map(to_matrix, gradients):
    momentum = 0.95 * momentum + 0.05 * gradient
    ahead = 0.95 * momentum + 0.05 * gradient
    expected -= _RATE * np.hstack([_orthogonal(b) for b in np.array_split(ahead, blocks, axis=1)])
  # The polynomial is within 0.32 of the singular value 1.
  length = np.linalg.norm(expected - to_matrix(start))
  assert np.linalg.norm(to_matrix(moved) - expected) < 0.32 * length


def test_all_else_moves_as_with_adam():
  generator = np.random.default_rng(2)
  gradients = generator.normal(size=(4, 7)).astype(np.float32)
  for name in ("bias", "reparam_gamma"):
    ours, theirs = tf.Variable(tf.ones([7]), name=name), tf.Variable(tf.ones([7]), name=name)
    np.testing.assert_array_equal(
      _steps(Muon(_RATE), ours, gradients),
      _steps(tf.keras.optimizers.Adam(_RATE), theirs, gradients),
    )
