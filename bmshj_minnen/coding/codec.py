"""Image <-> bytes."""

import functools
import time
from typing import Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import bitstream, frozen_prior, tiling
from bmshj_minnen.coding.dial import DEFAULT_QUALITY, Dial, lambda_of
from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.coding.latent_coder import LatentCoder, hyper_size
from bmshj_minnen.coding.transforms import Transforms
from bmshj_minnen.entropy import range_coder

__all__ = ["Codec", "Latents"]

# Of the time of `compress` and of `decompress`, roughly.
_ANALYSIS_SHARE = 0.6
_REFINED_ANALYSIS_SHARE = 0.95
_SYNTHESIS_SHARE = 0.7


class Latents(NamedTuple):
  """What a file holds.

  Attributes:
    y_hat: [h, w, M] float32.
    z_hat: [h', w', N] float32 integers; zero channels without side information.
  """

  y_hat: np.ndarray
  z_hat: np.ndarray


class Codec:
  """Compresses and decompresses with one trained model.

  Entropy coding runs in exact arithmetic on the CPU: whatever the machine, the thread count or the
  image size, a file decodes to the ŷ that was encoded. Pixels come from the float g_s, which may
  differ by rounding between machines.

  Methods take images of any size; none retraces for a new one. The networks run on large images in
  tiles, so that memory beyond the image and its latents is bounded. That may change the rounding of
  y, and so a few ŷ that are sent or pixels that come back by one, but no ŷ of a given file. Several
  threads may use one codec.

  Args:
    frozen: the integer prior.
    weights: float weights of g_a, g_s, h_a and the gains, by the names of `model_files.weights`.
    max_pixels: the largest image that `decompress` accepts; decoding time and memory grow with the
      size that a file declares, so this bounds them.
    memory: bytes that the networks may take in one call, roughly; what it is too small for gets the
      smallest tiles. May be set at any time.
    precision: of most of g_a and g_s, one of `config.CODEC_PRECISIONS`. With "bfloat16" processors
      that have it (AVX512-BF16, AMX) take half the time, for pixels that differ by rounding. Files
      of either are read with either.
    refine: of a model for one rate: image, y, ẑ and a function to call before each step -> a better
      y, such as a `Refiner`; used on large images in tiles, too. By `compress` alone.
  """

  def __init__(
    self,
    frozen: frozen_prior.FrozenPrior,
    weights: dict[str, np.ndarray],
    max_pixels: int = bitstream.DEFAULT_MAX_PIXELS,
    memory: int = tiling.DEFAULT_MEMORY,
    precision: str = cfg.CODEC_PRECISIONS[0],
    refine: Optional[Callable[..., np.ndarray]] = None,
  ):
    self.config = frozen.config
    self.fingerprint = frozen.fingerprint
    self.max_pixels = max_pixels
    self.memory = memory
    self._refine = refine
    self._transforms = Transforms(self.config, weights, precision)
    self._coder = LatentCoder(frozen)
    self._dial = Dial(self.config, weights) if self.config.gain_lambdas else None
    y = tf.TensorSpec([None, None, self.config.latent_channels], tf.float32)
    self._analysis = Graph(self._y_of, tf.TensorSpec([None, None, 3], tf.uint8))
    self._hyper_analysis = Graph(self._z_hat_of, y)
    self._synthesis = Graph(self._pixels_of, y)

  def compress(
    self,
    image: np.ndarray,
    seconds: Optional[dict[str, float]] = None,
    progress: Optional[Callable[[float], None]] = None,
    quality: Optional[int] = None,
  ) -> bytes:
    """Compresses [H, W, 3] uint8, H and W in 1..65536.

    Args:
      image: the pixels.
      seconds: receives the time that each part took, if given.
      progress: called with the fraction that is done, now and then, if given; may raise to end
        the work, after each tile and before each step of refinement.
      quality: 1 (smallest files) to 100, of a model for many rates, see `dial.lambda_of`; None:
        `dial.DEFAULT_QUALITY`.

    Raises:
      ValueError: not such an array, no such quality, or a quality of a model for one rate.
    """
    return self.compress_with_latents(image, seconds, progress, quality)[0]

  def compress_with_latents(
    self,
    image: np.ndarray,
    seconds: Optional[dict[str, float]] = None,
    progress: Optional[Callable[[float], None]] = None,
    quality: Optional[int] = None,
  ) -> tuple[bytes, Latents]:
    """Like `compress`, but returns what was coded, too."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
      raise ValueError(f"expected a uint8 image [H, W, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    if not 1 <= min(height, width) <= max(height, width) <= bitstream.MAX_SIDE:
      raise ValueError(f"sides must be 1 to {bitstream.MAX_SIDE} pixels, not {height}x{width}")
    if self._dial and quality is None:
      quality = DEFAULT_QUALITY
    if quality is not None:
      lambda_of(quality, self.config)  # Complains of a quality that there is not.
    timed = _Stopwatch(seconds)
    share = _REFINED_ANALYSIS_SHARE if self._refine else _ANALYSIS_SHARE
    to_come = _Progress(progress, share)
    y, z_hat = timed("analysis", self._analyze, image, quality, to_come.first)
    payload, y_hat = timed(
      "entropy coding", self._coder.encode_array, y, z_hat, self.memory, to_come.second
    )
    data = timed("container", bitstream.pack, self.fingerprint, height, width, payload, quality)
    return data.numpy(), Latents(y_hat, z_hat)

  def decompress(
    self,
    data: bytes,
    seconds: Optional[dict[str, float]] = None,
    progress: Optional[Callable[[float], None]] = None,
  ) -> np.ndarray:
    """Decompresses what `compress` returned to [H, W, 3] uint8.

    Args:
      data: the whole file.
      seconds, progress: as of `compress`.

    Raises:
      BitstreamError: the bytes are not whole, or of another format or model, or too large.
    """
    timed = _Stopwatch(seconds)
    to_come = _Progress(progress, 1 - _SYNTHESIS_SHARE)
    header, latents = self._unpack(data, timed, to_come.first)
    size = (header.height, header.width)
    y_hat = latents.y_hat
    if self._dial:
      y_hat = y_hat * self._dial.inverse(header.quality)
    return timed(
      "synthesis",
      self._tiled,
      tiling.G_S,
      self._synthesis,
      y_hat,
      size,
      to_come.second,
    )

  def latents(self, data: bytes) -> Latents:
    """Decodes a file, but stops before g_s.

    Raises:
      BitstreamError: as `decompress`.
    """
    return self._unpack(data, _Stopwatch(None), None)[1]

  def _analyze(self, image, quality, progress):
    """`analyze` in tiles."""
    size = tuple(map(_latent_size, image.shape[:2]))
    if self._refine:
      to_come = _Repeated(progress)
      refined = functools.partial(self._refined_y_of, to_come.again)
      y = self._tiled(tiling.REFINEMENT, refined, image, size, to_come.reach)
    else:
      y = self._tiled(tiling.G_A, self._analysis, image, size, progress)
    if self._dial:
      y = y * self._dial.gain(quality)
    return y, self._tiled(tiling.H_A, self._hyper_analysis, y, tuple(map(hyper_size, size)))

  def _refined_y_of(self, on_step, image):
    y = self._analysis(image)
    return self._refine(image, y.numpy(), self._hyper_analysis(y).numpy(), on_step)

  def _tiled(self, field, function, source, size, progress=None):
    units = tiling.units(field, self.config, self.memory)
    return tiling.run(field, lambda part: np.asarray(function(part)), source, size, units, progress)

  def _unpack(self, data, timed, progress):
    header, payload = timed("container", self._parse, data)
    size = _latent_size(header.height), _latent_size(header.width)
    y_hat, z_hat, whole = timed(
      "entropy decoding", self._coder.decode_array, payload, *size, self.memory, progress
    )
    if not whole:
      raise bitstream.BitstreamError(
        "the payload does not end where its symbols do",
        header.size,
        "a whole payload",
        f"{len(payload)} bytes",
      )
    return header, Latents(y_hat, z_hat)

  def _parse(self, data):
    return bitstream.unpack(data, self.fingerprint, self.max_pixels, self._dial is not None)

  # The parts below take and return tensors, eagerly or within a graph, without tiles or gains.

  def analyze(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[H, W, 3] uint8 -> y [h, w, M] and ẑ [h', w', N], float32."""
    y = self._y_of(image)
    return y, self._z_hat_of(y)

  def encode(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Y and ẑ -> the payload, a scalar string, and ŷ [h, w, M] float32."""
    return self._coder.encode(y, z_hat)

  def decode(
    self, payload: tf.Tensor, image_height: tf.Tensor, image_width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The payload of an H x W image -> ŷ [h, w, M], ẑ [h', w', N], and whether it ended well."""
    return self._coder.decode(payload, _latent_size(image_height), _latent_size(image_width))

  def synthesize(self, y_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """ŷ [h, w, M] -> [H, W, 3] uint8."""
    return self._pixels_of(y_hat)[:height, :width]

  def _y_of(self, image):
    shape = tf.shape(image)
    x = _replicate(image, _latent_size(shape[0]), _latent_size(shape[1]))
    return self._transforms.g_a(tf.cast(x, tf.float32)[None] / 255.0)[0]

  def _z_hat_of(self, y):
    if not self.config.has_hyperprior:
      shape = tf.shape(y)
      return tf.zeros([hyper_size(shape[0]), hyper_size(shape[1]), 0])
    z = tf.round(self._transforms.h_a(y[None])[0])
    z = tf.clip_by_value(z, -range_coder.MAX_VALUE, range_coder.MAX_VALUE)
    return tf.cast(tf.cast(z, tf.int32), tf.float32)  # Through integers: no -0.

  def _pixels_of(self, y_hat):
    x_hat = self._transforms.g_s(y_hat[None])[0]
    return tf.saturate_cast(tf.round(x_hat * 255.0), tf.uint8)


class _Progress:
  """Two parts of a work, of which the first takes a given share."""

  def __init__(self, progress: Optional[Callable[[float], None]], share: float):
    self.first = self.second = None
    if progress:
      self.first = lambda fraction: progress(share * fraction)
      self.second = lambda fraction: progress(share + (1 - share) * fraction)


class _Repeated:
  """A progress that can be told again, so that whoever hears of it may stop the work by raising."""

  def __init__(self, progress: Optional[Callable[[float], None]]):
    self._progress, self._fraction = progress, 0.0

  def reach(self, fraction):
    self._fraction = fraction
    self.again()

  def again(self):
    if self._progress:
      self._progress(self._fraction)


class _Stopwatch:
  """Calls functions and adds up their seconds by name."""

  def __init__(self, seconds: Optional[dict[str, float]]):
    self._seconds = {} if seconds is None else seconds

  def __call__(self, name: str, function: Callable, *args):
    start = time.perf_counter()
    result = function(*args)
    self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - start
    return result


def _latent_size(pixels):
  return (pixels + cfg.LATENT_STRIDE - 1) // cfg.LATENT_STRIDE


def _replicate(image, height, width):
  """Repeats the last row and column up to whole latents."""
  shape = tf.shape(image)
  rows = tf.minimum(tf.range(height * cfg.LATENT_STRIDE), shape[0] - 1)
  columns = tf.minimum(tf.range(width * cfg.LATENT_STRIDE), shape[1] - 1)
  return tf.gather(tf.gather(image, rows), columns, axis=1)
