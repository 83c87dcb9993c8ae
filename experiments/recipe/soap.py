"""SOAP: Adam in the slowly turning eigenbasis of Shampoo.

N. Vyas et al., "SOAP: Improving and stabilizing Shampoo using Adam", 2024,
https://arxiv.org/abs/2409.11321, algorithm 3; for learned compression Y. Zhang, F. Zhu, "Leveraging
second-order curvature for efficient learned image compression", https://arxiv.org/abs/2601.20769.
"""

import tensorflow as tf

__all__ = ["SOAP"]

_BETA_1, _BETA_2, _SHAMPOO_BETA = 0.95, 0.95, 0.95  # Vyas et al., section 6.
_EVERY = 10  # Steps between updates of the bases.
_LARGEST = 768  # Longer axes keep the identity as their basis.


class SOAP(tf.keras.optimizers.Adam):
  """SOAP for the kernels of convolutions and dense layers, Adam for all else.

  A kernel's taps are one axis; so a 5x5 kernel has bases of 25, its inputs and its outputs.
  """

  def build(self, var_list):
    super().build(var_list)
    if hasattr(self, "_bases"):  # Keras builds again before each step.
      return
    self._bases, self._products = {}, {}
    for variable in filter(_is_kernel, var_list):
      key = self._var_key(variable)
      sizes = [n if 1 < n <= _LARGEST else 0 for n in _axes(variable)]
      self._bases[key] = [tf.Variable(tf.eye(n), trainable=False) if n else None for n in sizes]
      self._products[key] = [
        tf.Variable(tf.zeros([n, n]), trainable=False) if n else None for n in sizes
      ]

  def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
    """Moves one variable by its gradient of the same shape; called by `apply_gradients`."""
    if not _is_kernel(variable):
      super().update_step(gradient, variable)
      return
    key = self._var_key(variable)
    index = self._index_dict[key]
    bases, products = self._bases[key], self._products[key]
    gradient = tf.reshape(gradient, _axes(variable))
    for axis, product in enumerate(products):
      if product is not None:
        rows = _unfold(gradient, axis)
        own = tf.linalg.matmul(rows, rows, transpose_b=True)
        product.assign(_SHAMPOO_BETA * product + (1 - _SHAMPOO_BETA) * own)
    first = self.iterations == 0
    tf.cond(
      tf.equal(self.iterations % _EVERY, 0),
      lambda: _turn(bases, products, first),
      lambda: tf.constant(0),
    )
    # The average of gradients stays in the old basis, the average of squares in the new one.
    momentum, squares = self._momentums[index], self._velocities[index]
    momentum.assign(_BETA_1 * momentum + (1 - _BETA_1) * tf.reshape(gradient, variable.shape))
    turned = _rotate(gradient, bases, True)
    squares.assign(
      _BETA_2 * squares + (1 - _BETA_2) * tf.reshape(tf.square(turned), variable.shape)
    )
    step = tf.cast(self.iterations + 1, tf.float32)
    mean = _rotate(tf.reshape(momentum, gradient.shape), bases, True) / (1 - _BETA_1**step)
    square = tf.reshape(squares, gradient.shape) / (1 - _BETA_2**step)
    move = _rotate(mean / (tf.sqrt(square) + self.epsilon), bases, False)
    # At first the bases come from this gradient alone: Vyas et al. skip that step.
    rate = tf.where(first, 0.0, tf.cast(self.learning_rate, tf.float32))
    variable.assign_sub(rate * tf.reshape(move, variable.shape))


def _is_kernel(variable):
  return "kernel" in variable.name and len(variable.shape) > 1


def _axes(variable):
  """The shape of a kernel with its taps as one axis: [..., in, out] -> [taps, in, out]."""
  shape = variable.shape.as_list()
  if "_real" in variable.name or "_imag" in variable.name:  # Coefficients: [in, out, h, w].
    return [*shape[:2], shape[2] * shape[3]]
  taps = 1
  for n in shape[:-2]:
    taps *= n
  return [taps, *shape[-2:]]


def _unfold(x, axis):
  """[..., n, ...] -> [n, all other axes]."""
  order = [axis, *(i for i in range(len(x.shape)) if i != axis)]
  return tf.reshape(tf.transpose(x, order), [x.shape[axis], -1])


def _rotate(x, bases, forward):
  """Rotates x into the bases or back from them."""
  for basis in bases:  # Always the first axis, which becomes the last.
    if basis is None:
      x = tf.transpose(x, [*range(1, len(x.shape)), 0])
    else:
      x = tf.tensordot(x, basis, [[0], [0 if forward else 1]])
  return x


def _turn(bases, products, first):
  """One power iteration towards the eigenvectors of each product."""
  for basis, product in zip(bases, products):
    if basis is not None:
      new = tf.cond(
        first,
        lambda p=product: tf.linalg.eigh(p)[1],
        lambda b=basis, p=product: tf.linalg.qr(tf.linalg.matmul(p, b))[0],
      )
      basis.assign(new)
  return tf.constant(0)
