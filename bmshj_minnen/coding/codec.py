"""Image <-> bytes."""

import time
from typing import Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen.coding import bitstream, fixed_point, frozen_prior, wavefront
from bmshj_minnen.coding.transforms import Transforms
from bmshj_minnen.entropy import range_coder

__all__ = ["Codec", "Latents"]

_PIXELS = tf.TensorSpec([None, None, 3], tf.uint8)
_SIZE = tf.TensorSpec([], tf.int32)


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

  Methods take images of any size; none retraces for a new one.

  Args:
    frozen: the integer prior.
    weights: float weights of g_a, g_s and h_a, named as in `bmshj_minnen.weights`.
    max_pixels: the largest image that `decompress` accepts; decoding time and memory grow with the
      size that a file declares, so this bounds them.
  """

  def __init__(
    self,
    frozen: frozen_prior.FrozenPrior,
    weights: dict[str, np.ndarray],
    max_pixels: int = bitstream.DEFAULT_MAX_PIXELS,
  ):
    self.config = frozen.config
    self.fingerprint = frozen.fingerprint
    self.max_pixels = max_pixels
    self._step = frozen.y_step
    self._transforms = Transforms(self.config, weights)
    with tf.device("/cpu:0"):
      self._networks = frozen_prior.Networks(frozen, fixed_point.exact_dtype())
      self._coder = range_coder.RangeCoder(frozen.tables)
    m, n = self.config.latent_channels, self._z_channels
    y_spec = tf.TensorSpec([None, None, m], tf.float32)
    z_spec = tf.TensorSpec([None, None, n], tf.float32)
    self._analyze = _Graph(self.analyze, _PIXELS)
    self._encode = _Graph(self.encode, y_spec, z_spec)
    self._decode = _Graph(self.decode, tf.TensorSpec([], tf.string), _SIZE, _SIZE)
    self._synthesize = _Graph(self.synthesize, y_spec, _SIZE, _SIZE)

  def compress(self, image: np.ndarray, seconds: Optional[dict[str, float]] = None) -> bytes:
    """Compresses [H, W, 3] uint8, H and W in 1..65536.

    Args:
      image: the pixels.
      seconds: receives the time that each part took, if given.

    Raises:
      ValueError: not such an array.
    """
    return self.compress_with_latents(image, seconds)[0]

  def compress_with_latents(
    self, image: np.ndarray, seconds: Optional[dict[str, float]] = None
  ) -> tuple[bytes, Latents]:
    """Like `compress`, but returns what was coded, too."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
      raise ValueError(f"expected a uint8 image [H, W, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    if not 1 <= min(height, width) <= max(height, width) <= bitstream.MAX_SIDE:
      raise ValueError(f"sides must be 1 to {bitstream.MAX_SIDE} pixels, not {height}x{width}")
    timed = _Stopwatch(seconds)
    y, z_hat = timed("analysis", self._analyze, image)
    payload, y_hat = timed("entropy coding", self._encode, y, z_hat)
    data = timed("container", bitstream.pack, self.fingerprint, height, width, payload)
    return data.numpy(), Latents(y_hat.numpy(), z_hat.numpy())

  def decompress(self, data: bytes, seconds: Optional[dict[str, float]] = None) -> np.ndarray:
    """Decompresses what `compress` returned to [H, W, 3] uint8.

    Raises:
      BitstreamError: the bytes are not whole, or of another format or model, or too large.
    """
    timed = _Stopwatch(seconds)
    header, latents = self._unpack(data, timed)
    image = timed("synthesis", self._synthesize, latents.y_hat, header.height, header.width)
    return image.numpy()

  def latents(self, data: bytes) -> Latents:
    """Decodes a file, but stops before g_s.

    Raises:
      BitstreamError: as `decompress`.
    """
    return self._unpack(data, _Stopwatch(None))[1]

  def _unpack(self, data, timed):
    header, payload = timed("container", self._parse, data)
    y_hat, z_hat, whole = timed(
      "entropy decoding", self._decode, payload, header.height, header.width
    )
    if not whole:
      raise bitstream.BitstreamError(
        "the payload does not end where its symbols do",
        bitstream.HEADER_SIZE,
        "a whole payload",
        f"{len(payload)} bytes",
      )
    return header, Latents(y_hat.numpy(), z_hat.numpy())

  def _parse(self, data):
    return bitstream.unpack(data, self.fingerprint, self.max_pixels)

  # The parts below take and return tensors, eagerly or within a graph.

  @property
  def _z_channels(self):
    """Channels of z, and as many tables before those of y."""
    return self.config.num_filters if self.config.has_hyperprior else 0

  def analyze(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[H, W, 3] uint8 -> y [h, w, M] and ẑ [h', w', N], float32."""
    shape = tf.shape(image)
    height, width = _latent_size(shape[0]), _latent_size(shape[1])
    x = tf.cast(_replicate(image, height, width), tf.float32)[None] / 255.0
    y = self._transforms.g_a(x)
    if not self.config.has_hyperprior:
      return y[0], tf.zeros([_hyper_size(height), _hyper_size(width), 0])
    z = tf.round(self._transforms.h_a(y)[0])
    z = tf.clip_by_value(z, -range_coder.MAX_VALUE, range_coder.MAX_VALUE)
    return y[0], tf.cast(tf.cast(z, tf.int32), tf.float32)  # Through integers: no -0.

  def encode(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Y and ẑ -> the payload, a scalar string, and ŷ [h, w, M] float32."""
    with tf.device("/cpu:0"):
      height, width, channels = tf.shape(y)[0], tf.shape(y)[1], self.config.latent_channels
      handle = self._coder.start_encoder()
      handle = self._coder.push(
        handle, self._z_tables(tf.shape(z_hat)), tf.cast(tf.reshape(z_hat, [-1]), tf.int32)
      )
      on_grid = fixed_point.saturate(tf.reshape(y, [-1, channels]) / self._step)
      side = wavefront.Encoder(self._coder, self._networks.unit, self._z_channels, on_grid)
      handle, y_hat = self._scan(side, handle, z_hat, height, width)
      return range_coder.finish_encoder(handle), y_hat

  def decode(
    self, payload: tf.Tensor, image_height: tf.Tensor, image_width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The payload of an H x W image -> ŷ [h, w, M], ẑ [h', w', N], and whether it ended well."""
    with tf.device("/cpu:0"):
      height, width = _latent_size(image_height), _latent_size(image_width)
      z_shape = tf.stack([_hyper_size(height), _hyper_size(width), self._z_channels])
      handle = self._coder.start_decoder(payload)
      handle, z_hat = self._coder.pop(handle, self._z_tables(z_shape))
      z_hat = tf.reshape(tf.cast(z_hat, tf.float32), z_shape)
      z_hat = tf.ensure_shape(z_hat, [None, None, self._z_channels])
      side = wavefront.Decoder(self._coder, self._networks.unit, self._z_channels)
      handle, y_hat = self._scan(side, handle, z_hat, height, width)
      return y_hat, z_hat, range_coder.finish_decoder(handle)

  def synthesize(self, y_hat: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """ŷ [h, w, M] -> [H, W, 3] uint8."""
    x_hat = self._transforms.g_s(y_hat[None])[0, :height, :width]
    return tf.saturate_cast(tf.round(x_hat * 255.0), tf.uint8)

  def _scan(self, side, handle, z_hat, height, width):
    channels = self.config.latent_channels
    psi = self._networks.psi(z_hat, height, width)
    handle, y_hat = wavefront.scan(self._networks, side, handle, psi, height, width, channels)
    return handle, tf.reshape(y_hat * self._step, tf.stack([height, width, channels]))

  def _z_tables(self, z_shape):
    """The table of each symbol of z: that of its channel."""
    return tf.tile(tf.range(self._z_channels), [z_shape[0] * z_shape[1]])


class _Graph:
  """A function traced once, when it is first called, for all sizes."""

  def __init__(self, function: Callable, *signature: tf.TensorSpec):
    self._function = tf.function(function, signature)
    self._signature = signature
    self._concrete = None

  def __call__(self, *args):
    if self._concrete is None:
      self._concrete = self._function.get_concrete_function()
    return self._concrete(*map(tf.convert_to_tensor, args))


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


def _hyper_size(latents):
  return (latents + cfg.HYPER_STRIDE - 1) // cfg.HYPER_STRIDE


def _replicate(image, height, width):
  """Repeats the last row and column up to whole latents."""
  shape = tf.shape(image)
  rows = tf.minimum(tf.range(height * cfg.LATENT_STRIDE), shape[0] - 1)
  columns = tf.minimum(tf.range(width * cfg.LATENT_STRIDE), shape[1] - 1)
  return tf.gather(tf.gather(image, rows), columns, axis=1)
