"""PSNR and MS-SSIM against known answers, scikit-image and NumPy."""

import io

import numpy as np
import PIL.Image
import pytest
import skimage.metrics
import tensorflow as tf
from scipy import fft, ndimage

from bmshj_minnen import metrics
from tests import codecs


def _photograph(height, width, seed=0):
  """An image with structure at all five scales."""
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


def _reference_ms_ssim(x, x_hat, tiles=1):
  """Wang et al. (2003) in float64, each channel separately, for images `tiles` x `tiles` times.

  Maps of repeating images repeat, too: it computes one tile's maps, and counts the windows that
  begin at each of its pixels. Odd sides, of one tile alone, repeat their last row or column.
  """
  window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
  window /= window.sum()
  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

  def local_mean(v):
    """The mean over the window that begins at each pixel, continued by the next tile."""
    for axis in (0, 1):
      v = ndimage.correlate1d(v, window, axis, mode="wrap", origin=-5)
    return v

  def half(v):
    assert tiles == 1 or not (v.shape[0] % 2 or v.shape[1] % 2)
    v = np.pad(v, [(0, v.shape[0] % 2), (0, v.shape[1] % 2)], "edge")
    return v.reshape(v.shape[0] // 2, 2, -1, 2).mean((1, 3))

  values = []
  for channel in range(3):
    a, b = x[..., channel].astype(np.float64), x_hat[..., channel].astype(np.float64)
    value = 1.0
    for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
      if scale:
        a, b = half(a), half(b)
      mean_a, mean_b = local_mean(a), local_mean(b)
      variances = local_mean(a**2) - mean_a**2 + local_mean(b**2) - mean_b**2
      covariance = local_mean(a * b) - mean_a * mean_b
      factor = (2 * covariance + c2) / (variances + c2)
      if scale == 4:
        factor *= (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
      counts = (np.where(np.arange(side) < side - 10, tiles, tiles - 1) for side in a.shape)
      mean = np.average(factor, weights=np.outer(*counts))
      value *= max(mean, 0) ** weight
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


def test_mean_errors_of_many_pixels_keep_their_digits():
  rng = np.random.default_rng(0)
  x, x_hat = (np.tile(rng.integers(0, 256, [100, 100, 3], np.uint8), [20, 40, 1]) for _ in "ab")
  expected = np.mean((x[:100, :100].astype(np.float64) - x_hat[:100, :100]) ** 2)
  actual = metrics.mse(tf.cast(x[None], tf.float32), tf.cast(x_hat[None], tf.float32))
  assert float(actual[0]) == pytest.approx(expected, rel=1e-6)
  assert metrics.psnr(x, x_hat) == pytest.approx(10 * np.log10(255**2 / expected), abs=1e-9)


def test_what_is_no_pair_of_pictures_is_refused():
  x = _photograph(176, 180)
  for function in (metrics.psnr, metrics.ms_ssim, metrics.mse):
    for other in (x[:1], x[..., :1], x[None], x[:, 1:]):
      with pytest.raises(ValueError, match="images of one shape are compared, not "):
        function(x, other)
  for of_0_to_1 in ((x / 255, x / 255), (x, (x / 255).astype(np.float32)), (x / 255, x)):
    with pytest.raises(ValueError, match="as uint8, 0..255, not .*float"):
      metrics.psnr(*of_0_to_1)
  for scaled in (x / 255, tf.image.convert_image_dtype(x, tf.float32)):
    for pair in ((scaled, scaled), (scaled, x), (x, scaled)):
      with pytest.raises(ValueError, match="in 0..255, and these are all within 0..1"):
        metrics.ms_ssim(*pair)
  with pytest.raises(ValueError, match="PSNR needs pixels, and these"):
    metrics.psnr(x[:0], x[:0])
  # A black picture is within 0..1, too.
  assert float(metrics.ms_ssim(tf.zeros(x.shape), tf.zeros(x.shape))) == 1


def test_ms_ssim_of_equal_images_is_1():
  x = _photograph(176, 180)
  assert float(metrics.ms_ssim(x, x)) == 1


def test_ms_ssim_falls_with_noise():
  x = _photograph(176, 176)
  values = [float(metrics.ms_ssim(x, _noisy(x, deviation))) for deviation in (1, 4, 16, 64)]
  assert values == sorted(values, reverse=True)
  assert 1 > values[0] > 0.99 and 0.5 < values[-1] < 0.9


def _db(ms_ssim):
  return -10 * np.log10(1 - float(ms_ssim))


# Odd at the first scale, at each of the others, and at all of them.
@pytest.mark.parametrize(
  "size", [(176, 176), (209, 242), (161, 180), (161, 161), (233, 351), (512, 512)]
)
@pytest.mark.parametrize("deviation", [1, 5, 60])
def test_ms_ssim_equals_numpy(size, deviation):
  x = _photograph(*size)
  x_hat = _noisy(x, deviation)
  assert _db(metrics.ms_ssim(x, x_hat)) == pytest.approx(
    _db(_reference_ms_ssim(x, x_hat)), abs=1e-3
  )


# The least side, odd sides, and a side of usual test pictures.
@pytest.mark.parametrize("size", [(161, 161), (233, 351), (512, 512)])
def test_photographs_have_the_figures_of_other_packages(size):
  """TensorFlow's MS-SSIM sums in float32: at 512x512 it is up to 0.03 dB too high."""
  x = codecs.photograph(*size)
  for quality in (10, 90):
    buffer = io.BytesIO()
    PIL.Image.fromarray(x).save(buffer, "JPEG", quality=quality)
    x_hat = np.asarray(PIL.Image.open(buffer))
    expected = tf.image.ssim_multiscale(x, x_hat, max_val=255)
    assert _db(metrics.ms_ssim(x, x_hat)) == pytest.approx(_db(expected), abs=0.03)
    expected = skimage.metrics.peak_signal_noise_ratio(x, x_hat)
    assert metrics.psnr(x, x_hat) == pytest.approx(expected, rel=1e-9)


def _quantized(x, step):
  """[H, W, 3] uint8 after an orthonormal 8x8 DCT, rounded to multiples of `step`."""
  blocks = x.astype(np.float64).reshape(len(x) // 8, 8, -1, 8, 3)
  rounded = step * np.round(fft.dctn(blocks, axes=(1, 3), norm="ortho") / step)
  pixels = fft.idctn(rounded, axes=(1, 3), norm="ortho").reshape(x.shape)
  return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("tiles", [1, 3, 7])  # 0.1, 0.9 and 5.0 megapixels.
def test_ms_ssim_of_good_and_large_pictures(tiles):
  """A repeated picture has the same value as a single one, except for windows across borders."""
  x = codecs.photograph(320, 320)
  x_hat = _quantized(x, 4.6)
  expected = _db(_reference_ms_ssim(x, x_hat, tiles))
  assert 28.5 < expected < 29.5
  actual = metrics.ms_ssim(*(np.tile(v, [tiles, tiles, 1]) for v in (x, x_hat)))
  assert _db(actual) == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_of_bright_and_flat_pictures():
  """There variances are small differences of large squares."""
  x = np.full([192, 192, 3], 250, np.uint8)
  x[40:60, 30:150] = 0
  x_hat = x.copy()
  x_hat[::2, ::2] -= (x_hat[::2, ::2] > 0).astype(np.uint8)
  expected = _db(_reference_ms_ssim(x, x_hat))
  assert _db(metrics.ms_ssim(x, x_hat)) == pytest.approx(expected, abs=0.01)


def test_means_over_24_megapixels():
  tile = np.random.default_rng(0).uniform(0, 2e-3, [100, 100, 2]).astype(np.float32)
  actual = metrics._mean(tf.constant(np.tile(tile, [40, 60, 1])[None]))
  np.testing.assert_allclose(actual[0], tile.mean((0, 1), np.float64), rtol=1e-9)


def test_ms_ssim_is_one_number_an_image():
  x = np.stack([_photograph(176, 192, seed) for seed in (0, 1)])
  x_hat = np.stack([_noisy(x[0], 3), _noisy(x[1], 40)])
  actual = metrics.ms_ssim(tf.cast(x, tf.float32), tf.cast(x_hat, tf.float32))
  assert actual.shape == (2,)
  expected = [_reference_ms_ssim(*pair) for pair in zip(x, x_hat)]
  np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(160, 300), (300, 160), (1, 1)])
def test_ms_ssim_of_small_images_is_nan(size):
  x = np.zeros([2, *size, 3], np.uint8)
  actual = metrics.ms_ssim(x, x).numpy()
  assert actual.shape == (2,) and np.isnan(actual).all()
  assert np.isnan(float(metrics.ms_ssim(x[0], x[0])))


@pytest.mark.parametrize("kind", ["equal", "noisy", "unrelated", "negative", "constant"])
def test_ms_ssim_has_gradients_wherever_training_may_be(kind):
  """An untrained model gives pictures unrelated to the photograph, or its negative."""
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
