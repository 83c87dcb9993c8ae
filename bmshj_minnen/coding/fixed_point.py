"""Networks in exact arithmetic, so that every machine computes the same entropy parameters.

A float network gives other last bits on another thread count, instruction set or device, and one
such bit turns the rest of a file to garbage. Here weights and activations are integers (an idea
of Ballé, Johnston & Minnen, "Integer Networks for Data Compression with Latent-Variable Models",
ICLR 2019), and they are multiplied by float32 matrix products that cannot round:

- an activation is a 16-bit integer, split into its low byte, 0 to 255, and what is left, -128 to
  127 times 256;
- the absolute integer weights of an output channel sum to at most 2**16;
- so no partial sum of products exceeds 255 * 2**16 < 2**24, or as many times 256, and float32
  represents each of these: neither order of summation, blocking nor FMA can matter.

All else (the sum of both parts, biases, leaky slopes of 12 significant bits, powers of two) is
exact in float64.

Programs around this one may let TensorFlow rewrite graphs for speed. Its automatic mixed precision
turns float32 operands of MatMul, Einsum, convolutions and earlier versions of BatchMatMul into
bfloat16, which rounds them. `exact_dtype` finds out, and float64 is left alone. Graphs that run in
other processes have slower products of BatchMatMulV3, which are left alone in float32, too.
"""

import contextlib
import contextvars
import logging
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.format.frozen_prior import FixedLayer

__all__ = [
  "NUM_PARTS",
  "CompiledLayer",
  "exact_dtype",
  "freeze_layer",
  "graphs_of_other_processes",
  "power_of_two_step",
  "saturate_graph",
  "split_graph",
]

INT16_MAX = 2**15 - 1
MAX_WEIGHT_SUM = 2**16
NUM_PARTS = 2  # Of an activation.
_LOW = 256.0
_MAX_BIAS = 2.0**40  # Products are below 2**31: slopes leave their sum below 2**53.
_SLOPE_BITS = 12
_elsewhere = contextvars.ContextVar("elsewhere", default=False)


def power_of_two_step(peak: float, headroom: float = 4.0) -> float:
  """The smallest power of two whose 16-bit multiples reach headroom * peak."""
  return float(2.0 ** np.ceil(np.log2(max(headroom * peak, 2.0**-20) / INT16_MAX)))


def saturate_graph(x: tf.Tensor) -> tf.Tensor:
  """Rounds to 16-bit integers, float32."""
  return tf.clip_by_value(tf.cast(tf.round(x), tf.float32), -INT16_MAX - 1, INT16_MAX)


def split_graph(x: tf.Tensor) -> tf.Tensor:
  """16-bit integers [...] -> [NUM_PARTS, ...]: multiples of 256, and low bytes; float32."""
  high = _LOW * tf.floor(x * (1 / _LOW))
  return tf.stack([high, x - high])


class CompiledLayer:
  """A `FixedLayer` as a function of tensors.

  Args:
    layer: the integers.
    dtype: of the matrix products.
    blocks: how many parts the rows and the columns of the weights are cut into. Blocks are
      multiplied at the same time, which for a few rows of input keeps threads busier than one
      product that they share.
  """

  def __init__(self, layer: FixedLayer, dtype: tf.DType, blocks: tuple[int, int] = (1, 1)):
    # Powers of two change no rounding. Beyond these bounds all outputs are 0, or saturate.
    scale = np.clip(layer.scale, 2.0**-64, 2.0**64)
    rows, columns = blocks
    self._weights = [
      [tf.constant(block, dtype) for block in np.array_split(part, columns, axis=1)]
      for part in np.array_split(layer.weights * scale, rows)
    ]
    self._bias = tf.constant(layer.bias * scale, tf.float64)
    self._slope = float(layer.slope) / 256.0
    self._dtype = dtype

  def __call__(self, parts: tf.Tensor) -> tf.Tensor:
    """[2, n, fan_in] of `split_graph` -> [n, out] float64, not yet rounded."""
    return self.activate(self.sums(parts))

  def sums(self, parts: tf.Tensor) -> tf.Tensor:
    """Scaled weights^T input + bias: [2, n, fan_in] of `split_graph` -> [n, out] float64."""
    return self.products(parts) + self._bias

  def products(self, parts: tf.Tensor) -> tf.Tensor:
    """Scaled weights^T input: [2, n, fan_in] of `split_graph` -> [n, out] float64."""
    fan_ins = [blocks[0].shape[0] for blocks in self._weights]
    rows = tf.reshape(tf.cast(parts, self._dtype), [-1, sum(fan_ins)])
    products = [
      tf.concat([_product(some, block) for block in blocks], 1)
      for some, blocks in zip(tf.split(rows, fan_ins, 1), self._weights)
    ]
    high, low = tf.split(tf.cast(tf.add_n(products), tf.float64), 2)
    return high + low

  def activate(self, sums: tf.Tensor) -> tf.Tensor:
    """Sums [n, out] float64 -> the same through the slope, not yet rounded."""
    return sums if self._slope == 1 else tf.nn.leaky_relu(sums, self._slope)


@contextlib.contextmanager
def graphs_of_other_processes() -> Iterator[None]:
  """Products that are traced within it stay exact whatever mixed precision is set later."""
  token = _elsewhere.set(True)
  try:
    yield
  finally:
    _elsewhere.reset(token)


def _product(a, b):
  """[n, k] times [k, m]."""
  if _elsewhere.get():
    return tf.raw_ops.BatchMatMulV3(x=a, y=b, Tout=a.dtype)
  return tf.matmul(a, b)


def freeze_layer(
  weights: np.ndarray,
  bias: np.ndarray,
  input_step: float,
  output_step: np.ndarray,
  slope: float = 1.0,
) -> FixedLayer:
  """Rounds a float layer to integers.

  Args:
    weights: [fan_in, out] float.
    bias: [out] float.
    input_step: what one unit of the input integers stands for, a power of two.
    output_step: the same of the outputs, scalar or [out].
    slope: of the leaky ReLU behind the layer, 0 to 1; rounded to 12 significant bits.
  """
  weights, bias = weights.astype(np.float64), bias.astype(np.float64)
  total = np.maximum(np.abs(weights).sum(0), 2.0**-40)
  # Rounding moves a sum by at most fan_in / 2; most of that cancels, but it must never exceed.
  exponent = np.floor(np.log2(MAX_WEIGHT_SUM / total))
  integers = np.round(weights * 2.0**exponent)
  exponent -= np.abs(integers).sum(0) > MAX_WEIGHT_SUM
  integers = np.round(weights * 2.0**exponent)
  product_step = input_step * 2.0**-exponent
  # 2**40 products are far outside any activation.
  integer_bias = np.clip(np.round(bias / product_step), -_MAX_BIAS, _MAX_BIAS)
  return FixedLayer(
    integers.astype(np.int32),
    integer_bias.astype(np.int64),
    np.broadcast_to(product_step / output_step, bias.shape).copy(),
    _in_256ths(slope),
  )


def _in_256ths(slope):
  """The nearest number of `_SLOPE_BITS` significant bits, in 1/256."""
  mantissa, exponent = np.frexp(256 * slope)
  result = np.ldexp(np.round(np.ldexp(mantissa, _SLOPE_BITS)), exponent - _SLOPE_BITS)
  return int(result) if result == int(result) else float(result)


def exact_dtype() -> tf.DType:
  """Probes this device with extreme integers, in a graph, as whatever rewrites graphs is set now.

  Returns:
    float32 if its float32 products are exact, else, with a warning, float64.

  Raises:
    RuntimeError: neither is exact.
  """
  generator = np.random.default_rng(0)
  fan_in, out = 25 * 192, 64
  # Sums of weights at the bound, in few large weights (which reduced precision rounds) up to many
  # small ones (whose sums are long), of one sign or of both.
  weights = np.zeros((fan_in, out), np.int64)
  for column in range(out):
    count = int(np.round(fan_in ** (column / (out - 1))))
    rows = generator.choice(fan_in, count, replace=False)
    weights[rows, column] = MAX_WEIGHT_SUM // count
    weights[rows[0], column] += MAX_WEIGHT_SUM % count - (column == 0)
  weights[:, ::2] *= generator.choice([-1, 1], size=(fan_in, out // 2))
  x = generator.integers(-INT16_MAX - 1, INT16_MAX + 1, size=(67, fan_in))
  x[0], x[1], x[2] = INT16_MAX, -INT16_MAX - 1, -1
  layer = FixedLayer(weights, np.zeros(out, np.int64), np.ones(out))
  # Sums are at most 2**31, which float64 holds; NumPy multiplies int64 slowly.
  expected = x.astype(np.float64) @ weights.astype(np.float64)
  for dtype in (tf.float32, tf.float64):
    compiled = CompiledLayer(layer, dtype)
    probe = Graph(
      lambda x, run=compiled: run(split_graph(x)), tf.TensorSpec([None, fan_in], tf.float32)
    )
    result = probe(x.astype(np.float32)).numpy()
    if np.array_equal(result, expected):
      return dtype
    logging.warning(
      "Matrix products in %s are not exact on this device, or not as tf.config.optimizer is set;"
      " entropy coding avoids them.",
      dtype.name,
    )
  raise RuntimeError(
    "no exact matrix products on this device: files cannot be coded here; turn off what rewrites"
    " graphs (tf.config.optimizer) or lowers precision"
  )
