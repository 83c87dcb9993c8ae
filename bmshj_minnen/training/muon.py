"""Muon: gradient descent that moves every direction of a kernel by the same amount.

K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon
"""

import re

import tensorflow as tf

__all__ = ["Muon", "orthogonalize"]

_MOMENTUM = 0.95  # Jordan et al.
# Their polynomial a s + b s^3 + c s^5, which maps singular values in 0..1 to about 0.7..1.2.
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# Makes steps about as long as Adam's, so that both can use the same learning rate (J. Liu et al.,
# "Muon is scalable for LLM training", 2025, https://arxiv.org/abs/2502.16982, section 2.2).
_RMS = 0.2
# Maximum columns of one orthogonalized matrix: the cost grows with their cube, and g_ep has 640.
_MAX_COLUMNS = 192
# tfc's Fourier coefficients; a replica's variable is `kernel_real/replica_1:0`.
_FOURIER_NAME = re.compile(r"_(real|imag)(/replica_\d+)?:0$")


class Muon(tf.keras.optimizers.Adam):
  """Muon for the kernels of convolutions and dense layers, Adam for all other variables.

  A kernel is a matrix with one column per output channel; many columns are split into several
  matrices.
  """

  def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
    """Updates one variable by a gradient of the same shape; called by `apply_gradients`."""
    if "kernel" not in variable.name:
      super().update_step(gradient, variable)
      return
    rate = tf.cast(self.learning_rate, variable.dtype)
    momentum = self._momentums[self._index_dict[self._var_key(variable)]]
    momentum.assign(_MOMENTUM * momentum + (1 - _MOMENTUM) * gradient)
    ahead = _MOMENTUM * momentum + (1 - _MOMENTUM) * gradient  # Nesterov momentum.
    variable.assign_sub(rate * _step(ahead, _output_axis(variable)))


def orthogonalize(x: tf.Tensor) -> tf.Tensor:
  """U V^T of x = U S V^T, approximately: the result has singular values in about 0.7..1.2.

  Singular values below about 1e-3 of the norm stay smaller. The odd polynomials commute with x^T x,
  so all iterations except the last product use that small matrix.

  Args:
    x: [rows, columns], floating point.

  Returns:
    [rows, columns], of the same dtype.
  """
  if x.shape[0] < x.shape[1]:
    return tf.transpose(orthogonalize(tf.transpose(x)))
  x = tf.math.divide_no_nan(x, tf.norm(x))
  gram = tf.matmul(x, x, transpose_a=True)
  identity = tf.eye(x.shape[1], dtype=x.dtype)
  a, b, c = _POLYNOMIAL
  product = factor = a * identity + tf.matmul(b * identity + c * gram, gram)
  for _ in range(_ITERATIONS - 1):
    gram = tf.matmul(tf.matmul(factor, gram), factor)
    factor = a * identity + tf.matmul(b * identity + c * gram, gram)
    product = tf.matmul(product, factor)
  return tf.matmul(x, product)


def _output_axis(variable):
  # Fourier coefficients are [in, out, height, width], all other kernels [..., in, out].
  return 1 if _FOURIER_NAME.search(variable.name) else len(variable.shape) - 1


def _step(gradient, output_axis):
  """The direction of a step, in the shape of the gradient [..., out, ...]."""
  axes = [i for i in range(len(gradient.shape)) if i != output_axis] + [output_axis]
  last = tf.transpose(gradient, axes)
  matrix = tf.reshape(last, [-1, gradient.shape[output_axis]])
  blocks = tf.split(matrix, _block_sizes(matrix.shape[1]), axis=1)
  step = tf.concat([_RMS * max(b.shape) ** 0.5 * orthogonalize(b) for b in blocks], 1)
  step = tf.reshape(step, last.shape)
  return tf.transpose(step, [axes.index(i) for i in range(len(axes))])


def _block_sizes(columns):
  """Sizes of the smallest number of nearly equal blocks that `_MAX_COLUMNS` allows."""
  count = -(-columns // _MAX_COLUMNS)
  return [columns // count + (i < columns % count) for i in range(count)]
