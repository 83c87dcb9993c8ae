"""PSNR and MS-SSIM against known answers, scikit-image and NumPy."""

import numpy as np
import pytest
import scipy.signal
import skimage.metrics
import tensorflow as tf

from bmshj_minnen import metrics


def _photograph(height, width, seed=0):
  """Structure at all five scales."""
  rng = np.random.default_rng(seed)
  image = sum(
    np.kron(rng.normal(size=[-(-height // s), -(-width // s), 3]), np.ones([s, s, 1]))[
      :height, :width
    ]
    for s in (1, 4, 16, 64)
  )
  return np.clip(128 + 30 * image, 0, 255).astype(np.uint8)


def _noisy(image, deviation):
  noise = np.random.default_rng(1).normal(0, deviation, image.shape)
  return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def _reference_ms_ssim(x, x_hat):
  """Wang et al. (2003), for each channel by itself; the sides halve four times without rest."""
  offsets = np.arange(-5, 6)
  window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
  window /= window.sum()
  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
  values = []
  for channel in range(3):
    a, b = x[..., channel].astype(np.float64), x_hat[..., channel].astype(np.float64)
    value = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
      if scale:
        a, b = (v.reshape(v.shape[0] // 2, 2, -1, 2).mean((1, 3)) for v in (a, b))

      def local_mean(v):
        return scipy.signal.convolve2d(v, window, "valid")

      mean_a, mean_b = local_mean(a), local_mean(b)
      variances = local_mean(a**2) - mean_a**2 + local_mean(b**2) - mean_b**2
      covariance = local_mean(a * b) - mean_a * mean_b
      factor = (2 * covariance + c2) / (variances + c2)
      if scale == 4:
        factor = factor * (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
      value *= max(factor.mean(), 0) ** weight
    values.append(value)
  return np.mean(values)


@pytest.mark.parametrize(
  "difference, expected",
  [(1, 48.130803608679), (5, 34.151403521959), (255, 0.0), (0, float("inf"))],
)
def test_psnr_of_a_constant_difference(difference, expected):
  x = np.zeros([4, 6, 3], np.uint8)
  x_hat = np.full([4, 6, 3], difference, np.uint8)
  # In both orders: differences of uint8 must not wrap around.
  assert metrics.psnr(x, x_hat) == pytest.approx(expected, abs=1e-9)
  assert metrics.psnr(x_hat, x) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("deviation", [1, 10, 80])
def test_psnr_equals_scikit_image(deviation):
  x = _photograph(60, 45)
  x_hat = _noisy(x, deviation)
  expected = skimage.metrics.peak_signal_noise_ratio(x, x_hat)
  assert metrics.psnr(x, x_hat) == pytest.approx(expected, rel=1e-9)


def test_mse_is_one_number_an_image_on_the_scale_of_255():
  x = np.stack([_photograph(30, 20, seed) for seed in (0, 1)])
  x_hat = np.stack([_noisy(x[0], 3), _noisy(x[1], 20)])
  expected = [skimage.metrics.mean_squared_error(a, b) for a, b in zip(x, x_hat)]
  actual = metrics.mse(tf.cast(x, tf.float32), tf.cast(x_hat, tf.float32))
  np.testing.assert_allclose(actual, expected, rtol=1e-5)
  assert expected[0] < 10 and expected[1] > 200


def test_ms_ssim_of_equal_images_is_1():
  x = _photograph(176, 180)
  assert float(metrics.ms_ssim(x, x)) == pytest.approx(1, abs=1e-6)


def test_ms_ssim_falls_with_noise():
  x = _photograph(176, 176)
  values = [float(metrics.ms_ssim(x, _noisy(x, deviation))) for deviation in (1, 4, 16, 64)]
  assert values == sorted(values, reverse=True)
  assert 1 > values[0] > 0.99 and 0.5 < values[-1] < 0.9


@pytest.mark.parametrize("size", [(176, 176), (208, 240)])
@pytest.mark.parametrize("deviation", [5, 60])
def test_ms_ssim_equals_numpy(size, deviation):
  x = _photograph(*size)
  x_hat = _noisy(x, deviation)
  expected = _reference_ms_ssim(x, x_hat)
  assert float(metrics.ms_ssim(x, x_hat)) == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_is_one_number_an_image():
  x = np.stack([_photograph(176, 192, seed) for seed in (0, 1)])
  x_hat = np.stack([_noisy(x[0], 3), _noisy(x[1], 40)])
  actual = metrics.ms_ssim(tf.cast(x, tf.float32), tf.cast(x_hat, tf.float32))
  assert actual.shape == (2,)
  expected = [_reference_ms_ssim(*pair) for pair in zip(x, x_hat)]
  np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("size", [(175, 300), (300, 175), (1, 1)])
def test_ms_ssim_of_small_images_is_nan(size):
  x = np.zeros([2, *size, 3], np.uint8)
  actual = metrics.ms_ssim(x, x).numpy()
  assert actual.shape == (2,) and np.isnan(actual).all()
  assert np.isnan(float(metrics.ms_ssim(x[0], x[0])))


@pytest.mark.parametrize("kind", ["equal", "noisy", "unrelated", "negative", "constant"])
def test_ms_ssim_has_gradients_wherever_training_may_be(kind):
  """An untrained model draws what has nothing to do with the photograph, or its negative."""
  x = _photograph(176, 176)
  x_hat = {
    "equal": x,
    "noisy": _noisy(x, 20),
    "unrelated": _photograph(176, 176, seed=9),
    "negative": 255 - x,
    "constant": np.full_like(x, 100),
  }[kind]
  x_hat = tf.Variable(tf.cast(x_hat[None], tf.float32))
  with tf.GradientTape() as tape:
    value = metrics.ms_ssim(tf.cast(x[None], tf.float32), x_hat)
  gradient = tape.gradient(value, x_hat).numpy()
  assert 0 <= float(value[0]) <= 1.000001
  assert np.isfinite(gradient).all()
  if kind == "noisy":
    # Uphill: towards the photograph.
    assert (gradient * (x - x_hat)).numpy().sum() > 0
