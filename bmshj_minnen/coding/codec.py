"""Image <-> bytes."""

import functools
from collections.abc import Iterable, Iterator
from typing import Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from bmshj_minnen import config as cfg
from bmshj_minnen import metrics
from bmshj_minnen.coding import bitstream, frozen_prior, packing, targets, tiling
from bmshj_minnen.coding.dial import DEFAULT_QUALITY, Dial, lambda_of
from bmshj_minnen.coding.forking import refuse_forked
from bmshj_minnen.coding.graph import Graph
from bmshj_minnen.coding.latent_coder import LatentCoder, hyper_size
from bmshj_minnen.coding.observing import Progress, Repeated, Stopwatch
from bmshj_minnen.entropy import range_coder
from bmshj_minnen.model import Model

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
  threads may use one codec. Where TensorFlow has been used, forked processes cannot (RuntimeError):
  spawn them. A codec that was loaded travels to them by its directory, which they load again.

  Args:
    frozen: the integer prior.
    model: that computes g_a, g_s and h_a, such as `model_directory.model_for_coding`.
    max_pixels: the largest image that `decompress` accepts; decoding time and memory grow with the
      size that a file declares, so this bounds them.
    memory: bytes that the networks may take in one call, roughly; what it is too small for gets the
      smallest tiles. May be set at any time.
    refine: image, y, ẑ, λ and a function to call before each step -> a better y, such as a
      `Refiner`; λ is None for models of one rate. Used on large images in tiles, too. By `compress`
      alone.
  """

  def __init__(
    self,
    frozen: frozen_prior.FrozenPrior,
    model: Model,
    max_pixels: int = bitstream.DEFAULT_MAX_PIXELS,
    memory: int = tiling.DEFAULT_MEMORY,
    refine: Optional[Callable[..., np.ndarray]] = None,
  ):
    self.config = frozen.config
    self.fingerprint = frozen.fingerprint
    self.max_pixels = max_pixels
    self.memory = memory
    self.quality: Optional[float] = None  # Without one that is asked for; None: the default.
    # What makes it again in another process, and the arguments; of those that were loaded.
    self.origin: Optional[tuple[Callable[..., Codec], tuple]] = None
    self._refine = refine
    self._model = model
    networks = ("g_a", "h_a", "g_s")
    self._fields = {name: tiling.field(name, getattr(model, name)) for name in networks}
    self._coder = LatentCoder(frozen)
    self._dial = None
    if model.gains is not None:
      names = ("log_gain", "log_inverse")
      arrays = {f"gains/{name}": getattr(model.gains, name).numpy() for name in names}
      self._dial = Dial(self.config, arrays)
    y = tf.TensorSpec([None, None, self.config.latent_channels], tf.float32)
    self._analysis = Graph(self._y_of, tf.TensorSpec([None, None, 3], tf.uint8))
    self._hyper_analysis = Graph(self._z_hat_of, y)
    self._synthesis = Graph(self._pixels_of, y)

  def __reduce__(self):
    if self.origin is None:
      raise TypeError("this codec was not loaded from a model directory: only those can be pickled")
    return (
      *self.origin,
      {"max_pixels": self.max_pixels, "memory": self.memory, "quality": self.quality},
    )

  @property
  def variables(self) -> list[tf.Variable]:
    """What the graphs of this codec read, for those that are saved."""
    model = self._model
    parts = filter(None, (model.g_a, model.h_a, model.g_s, model.y_density))
    return [variable for part in parts for variable in part.variables]

  def compress(
    self,
    image: np.ndarray,
    seconds: Optional[dict[str, float]] = None,
    progress: Optional[Callable[[float], None]] = None,
    quality: Optional[float] = None,
    **target: float,
  ) -> bytes:
    """Compresses [H, W, 3] uint8, H and W in 1..65536.

    Args:
      image: the pixels.
      seconds: receives the time that each part took, if given.
      progress: called with the fraction that is done, now and then, if given; may raise to end the
        work, after each tile and before each step of refinement.
      quality: of a model for many rates: 1 (smallest files) to 100 in halves, see `dial.lambda_of`;
        None: that of `load`, or `dial.DEFAULT_QUALITY`.
      **target: in place of the quality one of `bytes` (at most), `bpp` (at most) and `psnr` (at
        least, in dB, of the picture that comes back here): the best quality is searched for.

    Raises:
      TargetError: the target is out of reach.
      ValueError: not such an array, no such quality, more than one of these, or any of them for a
        model for one rate or, but for a quality, with refinement.
    """
    return self.compress_with_latents(image, seconds, progress, quality, **target)[0]

  def compress_with_latents(
    self,
    image: np.ndarray,
    seconds: Optional[dict[str, float]] = None,
    progress: Optional[Callable[[float], None]] = None,
    quality: Optional[float] = None,
    **target: float,
  ) -> tuple[bytes, Latents]:
    """Like `compress`, but returns what was coded, too."""
    refuse_forked()
    image = np.asarray(image)
    height, width = self._check(image)
    goal = self._goal(height * width, quality, target)
    if self._dial and quality is None:
      quality = DEFAULT_QUALITY if self.quality is None else self.quality
    timed = Stopwatch(seconds)
    share = _REFINED_ANALYSIS_SHARE if self._refine else _ANALYSIS_SHARE
    to_come = Progress(progress, share)
    with timed("analysis"):
      y = self._analyze(image, quality, to_come.first)
    if goal:
      result = self._search(image, y, goal, timed)
      if progress:
        progress(1.0)
      return result
    return self._encode(y, quality, (height, width), timed, to_come.second)

  @staticmethod
  def _check(image):
    """Height and width."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
      raise ValueError(f"expected a uint8 image [H, W, 3], not {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    if not 1 <= min(height, width) <= max(height, width) <= bitstream.MAX_SIDE:
      raise ValueError(f"sides must be 1 to {bitstream.MAX_SIDE} pixels, not {height}x{width}")
    return height, width

  def _goal(self, pixels, quality, target):
    """The target, if there is one; complains of what cannot be had."""
    goal = targets.Target.of(pixels, **target)
    if goal and quality is not None:
      raise ValueError("give either a quality or a target")
    if goal and self._refine:
      raise ValueError("refinement is for a given quality: give no target, or do not refine")
    if goal or quality is not None:
      lambda_of(DEFAULT_QUALITY if quality is None else quality, self.config)
    return goal

  def _search(self, image, y, goal, timed):
    """The file that meets the goal and its latents, of y computed once."""
    size, best = image.shape[:2], {}

    def attempt(quality):
      data, latents = self._encode(y, quality, size, timed)
      psnr = None
      if goal.psnr is not None:
        psnr = metrics.psnr(image, self._pixels(latents.y_hat, quality, size, timed))
      trial = targets.Trial(len(data), psnr)
      if goal.is_met(trial):  # Better than those before it, or it had not been tried.
        best.clear()
        best[quality] = data, latents
      return trial

    return best[targets.search(goal, attempt)]

  def _encode(self, y, quality, size, timed, progress=None):
    """From y, without gain unless it was refined, the file and its latents."""
    if self._dial and not self._refine:
      y = y * self._dial.gain(quality)
    sizes = tuple(map(hyper_size, y.shape[:2]))
    with timed("analysis"):
      z_hat = self._tiled(self._fields["h_a"], self._hyper_analysis, y, sizes)
    with timed("entropy coding"):
      payload, y_hat = self._coder.encode_array(y, z_hat, self.memory, progress)
    with timed("container"):
      data = packing.pack(self.fingerprint, *size, payload, quality).numpy()
    return data, Latents(y_hat, z_hat)

  def at_qualities(
    self, image: np.ndarray, qualities: Iterable[float]
  ) -> Iterator[tuple[bytes, Latents]]:
    """What `compress_with_latents` returns at each quality; g_a runs once.

    Raises:
      ValueError: as `compress`, or the codec refines.
    """
    if self._refine:
      raise ValueError("refinement is for one quality at a time")
    size = self._check(image)
    y = self._analyze(image, None, None)
    for quality in qualities:
      lambda_of(quality, self.config)
      yield self._encode(y, quality, size, Stopwatch())

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
    timed = Stopwatch(seconds)
    to_come = Progress(progress, 1 - _SYNTHESIS_SHARE)
    header, latents = self._unpack(data, timed, to_come.first)
    size = (header.height, header.width)
    return self._pixels(latents.y_hat, header.quality, size, timed, to_come.second)

  def latents(self, data: bytes) -> Latents:
    """Decodes a file, but stops before g_s.

    Raises:
      BitstreamError: as `decompress`.
    """
    return self._unpack(data, Stopwatch(), None)[1]

  def _pixels(self, y_hat, quality, size, timed, progress=None):
    if self._dial:
      y_hat = y_hat * self._dial.inverse(quality)
    with timed("synthesis"):
      return self._tiled(self._fields["g_s"], self._synthesis, y_hat, size, progress)

  def _analyze(self, image, quality, progress):
    """The output of g_a, in tiles; refined, with the gain of the quality."""
    size = tuple(map(_latent_size, image.shape[:2]))
    if not self._refine:
      return self._tiled(self._fields["g_a"], self._analysis, image, size, progress)
    to_come = Repeated(progress)
    refined = functools.partial(self._refined_y_of, quality, to_come.again)
    field = tiling.refinement(self._fields["g_a"])
    return self._tiled(field, refined, image, size, to_come.reach)

  def _refined_y_of(self, quality, on_step, image):
    y, lmbda = self._analysis(image).numpy(), None
    if self._dial:
      y, lmbda = y * self._dial.gain(quality), lambda_of(quality, self.config)
    return self._refine(image, y, self._hyper_analysis(y).numpy(), lmbda, on_step)

  def _tiled(self, field, function, source, size, progress=None):
    units = tiling.units(field, self.config, self.memory)
    return tiling.run(field, lambda part: np.asarray(function(part)), source, size, units, progress)

  def _unpack(self, data, timed, progress):
    refuse_forked()
    with timed("container"):
      header, payload = self._parse(data)
    size = _latent_size(header.height), _latent_size(header.width)
    with timed("entropy decoding"):
      decoded = self._coder.decode_array(payload, *size, self.memory, progress)
    y_hat, z_hat, whole = decoded
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

  # The parts below take and return tensors, eagerly or within a graph, without tiles. The quality
  # is a scalar float32, one of `bitstream.QUALITIES`; a model for one rate has none.

  def analyze(
    self, image: tf.Tensor, quality: Optional[tf.Tensor] = None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """[H, W, 3] uint8 -> y [h, w, M] and ẑ [h', w', N], float32."""
    y = self._y_of(image)
    if self._dial:
      y *= self._dial.gain_of(DEFAULT_QUALITY if quality is None else quality)
    return y, self._z_hat_of(y)

  def encode(self, y: tf.Tensor, z_hat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Y and ẑ -> the payload, a scalar string, and ŷ [h, w, M] float32."""
    return self._coder.encode(y, z_hat)

  def decode(
    self, payload: tf.Tensor, image_height: tf.Tensor, image_width: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The payload of an H x W image -> ŷ [h, w, M], ẑ [h', w', N], and whether it ended well."""
    return self._coder.decode(payload, _latent_size(image_height), _latent_size(image_width))

  def synthesize(
    self,
    y_hat: tf.Tensor,
    height: tf.Tensor,
    width: tf.Tensor,
    quality: Optional[tf.Tensor] = None,
  ) -> tf.Tensor:
    """ŷ [h, w, M] -> [H, W, 3] uint8."""
    if self._dial:
      y_hat *= self._dial.inverse_of(DEFAULT_QUALITY if quality is None else quality)
    return self._pixels_of(y_hat)[:height, :width]

  def _y_of(self, image):
    shape = tf.shape(image)
    x = _replicate(image, _latent_size(shape[0]), _latent_size(shape[1]))
    return self._model.analysis_without_gains(x[None])[0]

  def _z_hat_of(self, y):
    if not self.config.has_hyperprior:
      shape = tf.shape(y)
      return tf.zeros([hyper_size(shape[0]), hyper_size(shape[1]), 0])
    z = tf.round(self._model.hyper_analysis(y[None])[0])
    z = tf.clip_by_value(z, -range_coder.MAX_VALUE, range_coder.MAX_VALUE)
    return tf.cast(tf.cast(z, tf.int32), tf.float32)  # Through integers: no -0.

  def _pixels_of(self, y_hat):
    x_hat = self._model.synthesis_without_gains(y_hat[None])[0]
    return tf.saturate_cast(tf.round(x_hat), tf.uint8)


def _latent_size(pixels):
  return (pixels + cfg.LATENT_STRIDE - 1) // cfg.LATENT_STRIDE


def _replicate(image, height, width):
  """Repeats the last row and column up to whole latents."""
  shape = tf.shape(image)
  rows = tf.minimum(tf.range(height * cfg.LATENT_STRIDE), shape[0] - 1)
  columns = tf.minimum(tf.range(width * cfg.LATENT_STRIDE), shape[1] - 1)
  return tf.gather(tf.gather(image, rows), columns, axis=1)
