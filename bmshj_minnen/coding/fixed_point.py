"""Networks in exact arithmetic, so that every machine computes the same entropy parameters.

The last bits of a float network depend on the thread count, the instruction set and the device, and
one wrong bit turns the rest of a file to garbage. Here weights and activations are integers (an
idea of Ballé, Johnston & Minnen, "Integer Networks for Data Compression with Latent-Variable
Models", ICLR 2019), and they are multiplied by float32 matrix products that cannot round:

- an activation is a 16-bit integer, split into its low byte, 0 to 255, and the remainder, -128 to
  127 times 256;
- the absolute integer weights of an output channel sum to at most 2**16;
- so no partial sum of products exceeds 255 * 2**16 < 2**24, or as many times 256, and float32
  represents each of these: neither order of summation, blocking nor FMA can matter.

All other steps (the sum of both parts, biases, leaky slopes of 12 significant bits, powers of two)
are exact in float64.

All functions except the ones that freeze take arrays or tensors, see `arrays`.
"""

import logging
from collections.abc import Sequence
from typing import Any, Callable

import numpy as np

from bmshj_minnen.coding.arrays import Arrays, namespace
from bmshj_minnen.format.frozen_prior import FixedLayer

__all__ = [
  "NUM_PARTS",
  "CompiledLayer",
  "exact_dtype",
  "freeze_layer",
  "power_of_two_step",
  "saturate",
  "scaled_weights",
  "split",
]

INT16_MAX = 2**15 - 1
MAX_WEIGHT_SUM = 2**16
NUM_PARTS = 2  # Parts of an activation.
_LOW = 256.0
_MIN_RANGE = 2.0**-5  # The least range of activations.
_MAX_BIAS = 2.0**40  # Products are below 2**31: slopes leave their sum below 2**53.
_SLOPE_BITS = 12


def power_of_two_step(peak: float, headroom: float = 4.0) -> float:
  """The smallest power of two whose 16-bit multiples reach headroom * peak.

  Activations that are all 0, as in an untrained model, get a step that is fine enough for the
  biases behind them.
  """
  return float(2.0 ** np.ceil(np.log2(max(headroom * peak, _MIN_RANGE) / INT16_MAX)))


def saturate(x: Any) -> Any:
  """Rounds and clips numbers [...] to 16-bit integers [...] float32."""
  xp = namespace(x)
  return xp.clip_by_value(xp.cast(xp.round(x), xp.float32), -INT16_MAX - 1, INT16_MAX)


def split(x: Any) -> Any:
  """16-bit integers [...] -> [NUM_PARTS, ...] float32: multiples of 256, then low bytes."""
  xp = namespace(x)
  high = _LOW * xp.floor(x * (1 / _LOW))
  return xp.stack([high, x - high])


def _scale(layer):
  """[out] float64 powers of two, beyond whose bounds all outputs are 0, or saturate."""
  return np.clip(layer.scale, 2.0**-64, 2.0**64)


def scaled_weights(layer: FixedLayer) -> np.ndarray:
  """Weights of a layer in units of its outputs, [fan_in, out] float64.

  Powers of two do not round, so float32 holds them exactly, too.
  """
  return layer.weights * _scale(layer)


class CompiledLayer:
  """A `FixedLayer` as a function of arrays or tensors.

  Args:
    layer: the integers.
    dtype: dtype of the matrix products, "float32" or "float64".
    xp: the namespace of the inputs, see `arrays`.
    few_rows: whether inputs have some tens of rows, or else a row per position of an image.

  Attributes:
    fan_in: number of inputs.
  """

  def __init__(self, layer: FixedLayer, dtype: str, xp: Any = Arrays, few_rows: bool = False):
    self._product = xp.Product(scaled_weights(layer).astype(dtype), few_rows)
    self._bias = xp.constant(layer.bias * _scale(layer), "float64")
    self._slope = float(layer.slope) / 256.0
    self.fan_in, self._dtype, self._xp = len(layer.weights), dtype, xp

  def __call__(self, parts: Any) -> Any:
    """Parts [2, n, fan_in] from `split` -> outputs [n, out] float64, not yet rounded."""
    return self.activate(self.sums(parts))

  def sums(self, parts: Any) -> Any:
    """Scaled weights^T input + bias: [2, n, fan_in] from `split` -> [n, out] float64."""
    return self.products(parts) + self._bias

  def products(self, parts: Any) -> Any:
    """Scaled weights^T input: [2, n, fan_in] from `split` -> [n, out] float64."""
    xp = self._xp
    # Without inputs, -1 could be any number.
    count = -1 if self.fan_in else NUM_PARTS * xp.shape(parts)[1]
    rows = xp.reshape(xp.cast(parts, self._dtype), [count, self.fan_in])
    high, low = xp.split(xp.cast(self._product(rows), xp.float64), NUM_PARTS)
    return high + low

  def activate(self, sums: Any) -> Any:
    """Sums [n, out] float64 -> outputs of the leaky ReLU [n, out] float64, not yet rounded."""
    return sums if self._slope == 1 else self._xp.leaky_relu(sums, self._slope)


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
    input_step: the value of one unit of the input integers, a power of two.
    output_step: the value of one unit of the outputs, scalar or [out], powers of two.
    slope: slope of the leaky ReLU behind the layer, 0 to 1; rounded to 12 significant bits.
  """
  weights, bias = weights.astype(np.float64), bias.astype(np.float64)
  total = np.maximum(np.abs(weights).sum(0), 2.0**-40)
  # Rounding moves a sum by at most fan_in / 2. Most of it cancels, but the bound must always hold.
  exponent = np.floor(np.log2(MAX_WEIGHT_SUM / total))
  if not len(weights):  # Any unit will do for the biases.
    exponent[:] = np.log2(MAX_WEIGHT_SUM)
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


def exact_dtype(
  compute: Callable[[FixedLayer, str, np.ndarray], Sequence[np.ndarray]], hint: str
) -> str:
  """Probes a runtime with extreme integers.

  Args:
    compute: a layer, the dtype of its products and inputs [n, fan_in] float32, not split -> the
      outputs of its `CompiledLayer`, once for each way in which coding computes them.
    hint: the possible cause of inexact products, for the messages.

  Returns:
    "float32" if float32 products are exact, or else, with a warning, "float64".

  Raises:
    RuntimeError: neither dtype has exact products.
  """
  generator = np.random.default_rng(0)
  fan_in, out = 25 * 192, 64
  # Sums of weights at the bound, of one sign or both: from few large weights, which reduced
  # precision rounds, to many small ones, whose sums are long.
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
  # Computed in integers, without the probed library; `einsum` is faster than `matmul` for them.
  expected = np.einsum("nk,km->nm", x, weights)
  for dtype in ("float32", "float64"):
    results = compute(layer, dtype, x.astype(np.float32))
    if all(np.array_equal(result, expected) for result in results):
      return dtype
    logging.warning(
      "Matrix products in %s are not exact on this device (%s); entropy coding avoids them.",
      dtype,
      hint,
    )
  raise RuntimeError(
    f"no exact matrix products on this device: files cannot be coded here; look at {hint}"
  )
