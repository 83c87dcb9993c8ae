"""A convolution kernel trained as its Fourier coefficients."""

import numpy as np
import tensorflow as tf
import tensorflow_compression as tfc

__all__ = ["FourierKernel"]


class FourierKernel(tfc.RDFTParameter):
  """tensorflow-compression's `RDFTParameter` of a 2-D kernel: same variables, same kernel.

  The inverse transform of tens of thousands of 5x5 kernels is one small matrix product here. On a
  CPU, TensorFlow's FFT would take a third of the whole training step.
  """

  def __call__(self, compute_dtype: tf.DType = None) -> tf.Tensor:
    """The kernel [height, width, in, out], in the dtype given or else in float32."""
    height, width, channels_in, channels_out = self.shape
    coefficients = tf.concat(
      [tf.reshape(part, [channels_in * channels_out, -1]) for part in (self.real, self.imag)], 1
    )
    inverse = tf.constant(_inverse_rdft(height, width), coefficients.dtype)
    kernel = tf.matmul(inverse, coefficients, transpose_a=True, transpose_b=True)
    kernel = tf.reshape(kernel, [height, width, channels_in, channels_out])
    return kernel if compute_dtype is None else tf.cast(kernel, compute_dtype)


def _inverse_rdft(height: int, width: int) -> np.ndarray:
  """The unitary inverse real DFT: [coefficients, taps] float64, real parts first."""
  columns = width // 2 + 1
  units = np.eye(height * columns).reshape(-1, height, columns)
  real = np.fft.irfft2(units, s=(height, width))
  imaginary = np.fft.irfft2(1j * units, s=(height, width))
  matrix = np.concatenate([real, imaginary]).reshape(-1, height * width)
  return matrix * np.sqrt(height * width)
