"""Image <-> bytes, with any runtime; TensorFlow is not needed."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from bmshj_minnen import checks, targets
from bmshj_minnen import config as cfg
from bmshj_minnen.coding import tiling
from bmshj_minnen.coding.image_transforms import ImageTransforms
from bmshj_minnen.coding.latent_coder import LatentCoder
from bmshj_minnen.format import reading, writing
from bmshj_minnen.format.errors import BitstreamError, Problem
from bmshj_minnen.format.fields import MAX_SIDE
from bmshj_minnen.format.frozen_prior import FrozenPrior
from bmshj_minnen.psnr import psnr
from bmshj_minnen.quality import check_quality, lambda_of
from bmshj_minnen.runtime.progress import Progress, ResendableProgress, Stopwatch

__all__ = ["Codec", "Latents", "check_limits"]

# Approximate shares of the time of `compress` and `decompress`.
_ANALYSIS_SHARE = 0.6
_REFINED_ANALYSIS_SHARE = 0.95
_SYNTHESIS_SHARE = 0.7


class Latents(NamedTuple):
  """The content of a file.

  Attributes:
    y_hat: [h, w, M] float32.
    z_hat: [h', w', N] float32 integers; zero channels without side information.
  """

  y_hat: np.ndarray
  z_hat: np.ndarray


def check_limits(max_pixels: int, memory: int) -> None:
  """Checks two arguments of `Codec`, before a model is read.

  Raises:
    ValueError: `max_pixels` is not a whole number from 1, or `memory` not a whole number from 0.
  """
  checks.whole("max_pixels", max_pixels, 1)
  checks.whole("memory", memory, 0)


class Codec:
  """Compresses and decompresses with one trained model.

  Entropy coding runs in exact arithmetic on the CPU: on every machine, with any thread count and
  image size, a file decodes to the ŷ that was encoded. Pixels come from the float g_s, whose
  rounding may differ between machines.

  Methods take images of any size. The networks run on large images in tiles, so that memory beyond
  the image and its latents is bounded. Tiles may change the rounding of y, and so a few encoded ŷ
  or decoded pixels by one, but never the ŷ of a given file. Several threads may use one codec.
  A pickled codec holds its model directory, from which other processes load it again. If TensorFlow
  has been used, spawn the processes: a forked one raises RuntimeError.

  Args:
    frozen: the integer prior.
    transforms: g_a, h_a, g_s and the gains.
    coder: the coder of the latents.
    max_pixels: the largest image that `decompress` accepts, in pixels. Decoding time and memory
      grow with the size that a file declares, so this bounds them. May be set at any time.
    memory: bytes that the networks may take in one call, roughly; if it is too small, tiles have
      their smallest size. May be set at any time.
    refine: image, y, λ and a function to call before each step -> a better y, such as a
      `Refiner`; λ is None for models for one rate. Large images are refined in tiles, too. Only
      `compress` refines.
    quality: the quality if a call gives none, for models for many rates; None: 50, see `quality`.

  Attributes:
    graphs: the `GraphCodec` of a codec that runs in TensorFlow; None in other runtimes.

  Raises:
    ValueError: a limit is not a whole number; the quality does not exist, or is given for a model
      for one rate.
  """

  def __init__(
    self,
    frozen: FrozenPrior,
    transforms: ImageTransforms,
    coder: LatentCoder,
    max_pixels: int = reading.DEFAULT_MAX_PIXELS,
    memory: int = tiling.DEFAULT_MEMORY,
    refine: Optional[Callable[..., np.ndarray]] = None,
    quality: Optional[float] = None,
  ):
    self.config = frozen.config
    self.fingerprint = frozen.fingerprint
    self.max_pixels = max_pixels
    self.memory = memory
    self.quality = check_quality(quality, self.config)
    # A function that loads the codec again in another process, and its arguments.
    self.origin: Optional[tuple[Callable[..., Codec], tuple]] = None
    self.graphs: Any = None
    self._has_quality = self.config.gain_lambdas is not None
    self._refine = refine
    self._transforms = transforms
    self._coder = coder

  def __reduce__(self):
    if self.origin is None:
      raise TypeError("this codec was not loaded from a model directory: only those can be pickled")
    state = {name: getattr(self, name) for name in ("_max_pixels", "_memory", "quality")}
    return (*self.origin, state)

  @property
  def max_pixels(self) -> int:
    """The largest image that `decompress` accepts, in pixels."""
    return self._max_pixels

  @max_pixels.setter
  def max_pixels(self, value: int) -> None:
    check_limits(value, 0)
    self._max_pixels = value

  @property
  def memory(self) -> int:
    """Bytes that the networks may take in one call, roughly."""
    return self._memory

  @memory.setter
  def memory(self, value: int) -> None:
    check_limits(1, value)
    self._memory = value

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
      seconds: if given, receives the seconds of each part: "analysis" (g_a, h_a and refinement),
        "entropy coding" (h_s, g_cm, g_ep and the range coder), "container", and "synthesis" (g_s)
        if the target is a PSNR.
      progress: if given, called with the fraction that is done, after each tile and before each
        step of refinement; may raise to end the work.
      quality: for models for many rates: 1 (smallest files) to 100 in halves, see `quality`; None:
        the quality of the codec.
      **target: in place of the quality one of `bytes` (at most), `bpp` (at most) and `psnr` (at
        least, in dB, of the image decoded on this machine): the best quality is searched for.

    Raises:
      TargetError: the target is out of reach.
      TypeError: the quality or the target is not a number, or there is no such target.
      ValueError: the image or the quality is invalid, more than one of quality and targets is
        given, the model is for one rate and any of them is given, or the codec refines and a target
        is given.
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
    """Compresses [H, W, 3] uint8, and returns the file and its latents.

    Arguments and errors are the same as in `compress`.
    """
    image = np.asarray(image)
    height, width = self._check(image)
    goal = self._goal(height * width, quality, target)
    quality = self._checked(quality)
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
    """Checks an image and returns its height and width."""
    height, width = checks.image(image)
    if not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
      raise ValueError(f"sides must be 1 to {MAX_SIDE} pixels, not {height}x{width}")
    return height, width

  def _goal(self, pixels, quality, target):
    """The target, if there is one; raises ValueError if it cannot be met."""
    targets.check_names(target)
    goal = targets.Target.of(pixels, **target)
    if goal and quality is not None:
      raise ValueError("give either a quality or a target")
    if goal and self._refine:
      raise ValueError("refinement is for a given quality: give no target, or do not refine")
    targets.check_request(target, self.config)
    return goal

  def _checked(self, quality):
    """The given quality, or the quality of the codec; None for one rate."""
    return check_quality(self.quality if quality is None else quality, self.config)

  def _search(self, image, y, goal, timed):
    """The file that meets the goal and its latents; y is computed once."""
    size, best = image.shape[:2], {}

    def attempt(quality):
      data, latents = self._encode(y, quality, size, timed)
      reached = None
      if goal.psnr is not None:
        reached = psnr(image, self._pixels(latents.y_hat, quality, size, timed))
      trial = targets.Trial(len(data), reached)
      if goal.is_met(trial):  # Better than earlier ones, or the search would not have tried it.
        best.clear()
        best[quality] = data, latents
      return trial

    return best[targets.search(goal, attempt)]

  def _encode(self, y, quality, size, timed, progress=None):
    """The file and its latents from y, which has gains only if it was refined."""
    if not self._refine:
      y = self._transforms.with_gains(y, quality)
    with timed("analysis"):
      z_hat = self._transforms.hyper_analysis(y, self.memory)
    with timed("entropy coding"):
      payload, y_hat = self._coder.encode(y, z_hat, self.memory, progress)
    with timed("container"):
      data = writing.pack(self.fingerprint, *size, payload, quality)
    return data, Latents(y_hat, z_hat)

  def at_qualities(
    self, image: np.ndarray, qualities: Iterable[float]
  ) -> Iterator[tuple[bytes, Latents]]:
    """Compresses [H, W, 3] uint8 at each quality; g_a runs once.

    Args:
      image: the pixels.
      qualities: qualities of a model for many rates; None for one rate.

    Yields:
      The file and its latents at each quality.

    Raises:
      TypeError: a quality is not a number.
      ValueError: the image or a quality is invalid, or the codec refines.
    """
    if self._refine:
      raise ValueError("refinement is for one quality at a time")
    size = self._check(image)
    y = self._analyze(image, None, None)
    for quality in qualities:
      yield self._encode(y, check_quality(quality, self.config), size, Stopwatch())

  def decompress(
    self,
    data: bytes,
    seconds: Optional[dict[str, float]] = None,
    progress: Optional[Callable[[float], None]] = None,
    region: Optional[tuple[int, int, int, int]] = None,
    scale: float = 1,
  ) -> np.ndarray:
    """Decompresses a file to [H, W, 3] uint8.

    Args:
      data: the whole file, as `compress` returned it.
      seconds: if given, receives the seconds of "container", "entropy decoding" and "synthesis".
      progress: if given, called with the fraction that is done; may raise to end the work.
      region: left, top, width and height, pixels, of the part that is wanted; None: the whole
        image. All latents are decoded in any case, but g_s runs on the part alone.
      scale: 1, 1/2, 1/4 or 1/8: each pixel is the mean of a box of 1 / scale times as many rows and
        columns of the image or region. All latents are decoded and g_s runs on all of them; the
        larger image is not kept, which saves its memory.

    Returns:
      The image [H, W, 3] uint8, or its region [height, width, 3] uint8; each side is multiplied by
      the scale and rounded up.

    Raises:
      BitstreamError: the file is damaged, has another format, belongs to another model, or its
        image is too large.
      TypeError: the data are not bytes, or the region is not four whole numbers.
      ValueError: the region is empty, or not within the image; or the scale is another one.
    """
    timed, box = Stopwatch(seconds), tiling.box_of(scale)
    to_come = Progress(progress, 1 - _SYNTHESIS_SHARE)
    if region is not None:
      header, _ = reading.parse(data)
      region = tiling.Region.within(region, header.width, header.height)
    header, latents = self._unpack(data, timed, to_come.first)
    if region is not None:
      y_hat = self._transforms.without_gains(latents.y_hat, header.quality)
      with timed("synthesis"):
        part = self._transforms.synthesis_of_region(y_hat, region, self.memory, to_come.second)
        return tiling.reduced(part, box)
    size = (header.height, header.width)
    return self._pixels(latents.y_hat, header.quality, size, timed, to_come.second, box)

  def decompress_with_latents(self, data: bytes) -> tuple[Latents, np.ndarray]:
    """Decompresses a file to its latents and its image; errors: see `decompress`."""
    header, latents = self._unpack(data, Stopwatch(), None)
    size = header.height, header.width
    return latents, self._pixels(latents.y_hat, header.quality, size, Stopwatch())

  def latents(self, data: bytes) -> Latents:
    """Decodes a file, but stops before g_s.

    Raises:
      BitstreamError, TypeError: the errors of `decompress`.
    """
    return self._unpack(data, Stopwatch(), None)[1]

  def _pixels(self, y_hat, quality, size, timed, progress=None, box=1):
    y_hat = self._transforms.without_gains(y_hat, quality)
    with timed("synthesis"):
      return self._transforms.synthesis(y_hat, size, self.memory, progress, box)

  def _analyze(self, image, quality, progress):
    """The output of g_a, [h, w, M]; if refined, with the gains of the quality."""
    if not self._refine:
      return self._transforms.analysis(image, self.memory, progress)
    to_come = ResendableProgress(progress)
    refine = functools.partial(self._refined, quality, to_come.again)
    return self._transforms.analysis(image, self.memory, to_come.reach, refine)

  def _refined(self, quality, on_step, image, y):
    lmbda = lambda_of(quality, self.config) if self._has_quality else None
    return self._refine(image, self._transforms.with_gains(y, quality), lmbda, on_step)

  def _unpack(self, data, timed, progress):
    with timed("container"):
      limits = (self.max_pixels, self._has_quality)
      header, payload = reading.unpack(data, self.fingerprint, *limits)
    size = cfg.latent_size(header.height), cfg.latent_size(header.width)
    with timed("entropy decoding"):
      y_hat, z_hat, whole = self._coder.decode(payload, *size, self.memory, progress)
    if not whole:
      where = header.start + header.size
      raise BitstreamError(Problem.PAYLOAD_END, where, "a whole payload", f"{len(payload)} bytes")
    return header, Latents(y_hat, z_hat)
