"""Classical codecs that FFmpeg runs: JPEG XL, AV1 and VVC, set for the best PSNR.

The FFmpeg is that of the package imageio-ffmpeg (BSD-2-Clause), whose wheel carries it as a program
of its own (GPL-3.0-or-later), with libjxl, libaom and VVenC. The environment variable
IMAGEIO_FFMPEG_EXE names another one.

FFmpeg gets and returns planes, and converts nothing: `colours` does that. Files are bare streams,
without a container. One thread codes, so bytes do not depend on the number of processors.

VVenC takes 4:2:0 alone. By itself that costs more than coding at high rates: with no other loss,
pictures come back at 32 to 44 dB.
"""

import dataclasses
import functools
import re
import subprocess
from typing import Callable

import numpy as np

from bmshj_minnen.evaluation import colours
from bmshj_minnen.evaluation.formats import REMEDY_CODECS

__all__ = ["FORMATS", "FfmpegCodec", "FfmpegFormat"]

_QUIET = ("-hide_banner", "-nostats", "-y")
_RGB, _YUV444, _YUV420 = "rgb24", "yuv444p10le", "yuv420p10le"
_COLOURS = {
  _RGB: ("-color_range", "pc", "-color_primaries", "bt709", "-color_trc", "iec61966-2-1"),
}
_COLOURS[_YUV444] = _COLOURS[_YUV420] = (*_COLOURS[_RGB], "-colorspace", "bt709")


@dataclasses.dataclass(frozen=True)
class FfmpegFormat:
  """A codec of FFmpeg, and its settings.

  Attributes:
    title: the codec's name in messages.
    suffix, limits, qualities: see `formats.Format`.
    encoder: FFmpeg's name of the encoder.
    pixels: FFmpeg's name of the layout of its pixels.
    muxer: FFmpeg's name of the file format.
    settings: options of the encoder.
    dial: quality -> options.
    release: pattern of the encoder's version in FFmpeg's log; empty: the log has none.
  """

  title: str
  suffix: str
  limits: tuple[int, int]
  qualities: tuple[int, ...]
  encoder: str
  pixels: str
  muxer: str
  settings: tuple[str, ...]
  dial: Callable[[int], tuple[str, ...]]
  release: str = ""

  def version(self) -> str:
    """FFmpeg's version, the encoder's, and the options.

    Raises:
      ValueError: FFmpeg is not installed, or lacks the encoder.
    """
    return _version(self, _executable(self.title))

  def make(self, quality: int) -> "FfmpegCodec":
    """The codec at one quality."""
    return FfmpegCodec(self, quality)

  def arguments(self, height: int, width: int, quality: int) -> list[str]:
    """Arguments of FFmpeg that make a file of pixels, from standard input to standard output."""
    source = ["-f", "rawvideo", "-pixel_format", self.pixels, "-video_size", f"{width}x{height}"]
    encoder = ["-frames:v", "1", "-c:v", self.encoder, *self.settings, *self.dial(quality)]
    colour = _COLOURS[self.pixels]
    return [*source, *colour, "-i", "-", *encoder, *colour, "-threads", "1", "-f", self.muxer, "-"]


class FfmpegCodec:
  """A codec of FFmpeg at one quality.

  Args:
    form: the codec.
    quality: quality of the format, within its limits.

  Raises:
    ValueError: FFmpeg is not installed, or lacks the encoder.
  """

  def __init__(self, form: FfmpegFormat, quality: int):
    form.version()
    self._form = form
    self._quality = quality

  def compress(self, image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 -> the bytes of a file.

    Raises:
      OSError, ValueError: the format does not support images of this size.
    """
    height, width, _ = image.shape
    arguments = self._form.arguments(height, width, self._quality)
    return _run(self._form.title, ["-loglevel", "error", *arguments], self._pixels(image)).stdout

  def decompress(self, data: bytes) -> np.ndarray:
    """A file from `compress` -> [H, W, 3] uint8.

    Raises:
      OSError: the file is damaged.
    """
    form = self._form
    rgb = form.pixels == _RGB
    # Both formats have a header with the size, and then the pixels.
    target = ["-f", "image2pipe", "-c:v", "ppm"] if rgb else ["-f", "yuv4mpegpipe"]
    source = ["-f", _DEMUXERS[form.muxer], *(["-c:v", form.encoder] if rgb else []), "-i", "-"]
    strict = ["-strict", "-1"]  # Allows 10 bits.
    arguments = ["-loglevel", "error", *source, "-pix_fmt", form.pixels, *strict, *target, "-"]
    decoded = _run(form.title, arguments, data).stdout
    return _from_ppm(decoded) if rgb else colours.from_planes(_from_y4m(decoded))

  def _pixels(self, image):
    if self._form.pixels == _RGB:
      return image.tobytes()
    planes = colours.to_planes(image, self._form.pixels == _YUV420)
    return b"".join(plane.astype("<u2").tobytes() for plane in planes)


_DEMUXERS = {"obu": "obu", "vvc": "vvc", "image2pipe": "jpegxl_pipe"}


def _from_ppm(data):
  magic, width, height, top, pixels = data.split(maxsplit=4) if data else [b""] * 5
  head = data.index(top, len(magic) + len(width) + len(height) + 3) + len(top) + 1
  return np.frombuffer(data, np.uint8, offset=head).reshape(int(height), int(width), 3)


def _from_y4m(data):
  head, _, rest = data.partition(b"\n")
  fields = {field[:1]: field[1:].decode() for field in head.split()[1:]}
  height, width = int(fields[b"H"]), int(fields[b"W"])
  step = 2 if fields[b"C"].startswith("420") else 1
  values = np.frombuffer(rest.partition(b"\n")[2], "<u2")
  planes = []
  for rows, columns in ((height, width), *[(height // step, width // step)] * 2):
    planes.append(values[: rows * columns].reshape(rows, columns))
    values = values[rows * columns :]
  return planes


def _executable(title):
  try:
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()
  except (ImportError, RuntimeError) as error:  # RuntimeError: there is no program.
    raise ValueError(f"{title} needs imageio-ffmpeg: {REMEDY_CODECS}") from error


def _run(title, arguments, data):
  """The finished FFmpeg; raises OSError with the first line of its log if it failed."""
  finished = subprocess.run(
    [_executable(title), *_QUIET, *arguments], input=data, capture_output=True, check=False
  )
  if finished.returncode or not finished.stdout:
    lines = finished.stderr.decode(errors="replace").strip().splitlines()
    raise OSError(f"FFmpeg: {lines[0] if lines else f'exit status {finished.returncode}'}")
  return finished


@functools.cache
def _version(form, executable):
  size = 64
  pixels = bytes(6 * size * size)  # Enough for all layouts.
  arguments = ["-loglevel", "verbose", *form.arguments(size, size, form.qualities[0])]
  try:
    log = _run(form.title, arguments, pixels).stderr.decode(errors="replace")
  except OSError as error:
    raise ValueError(
      f"the FFmpeg at {executable} has no {form.encoder}: {REMEDY_CODECS} --upgrade"
    ) from error
  banner = subprocess.run([executable, "-version"], capture_output=True, text=True, check=True)
  release = re.search(form.release, log) if form.release else None
  encoder = f"{form.encoder} {release[1]}" if release else form.encoder
  return f"{encoder} in FFmpeg {banner.stdout.split()[2]}, {' '.join(form.settings)}"


FORMATS = {
  "jpegxl": FfmpegFormat(
    "JPEG XL",
    ".jxl",
    (1, 150),
    (120, 90, 65, 45, 32, 23, 16, 11, 7, 4),
    "libjxl",
    _RGB,
    "image2pipe",
    ("-effort", "9"),
    lambda quality: ("-distance", f"{quality / 10:g}"),
  ),
  "av1": FfmpegFormat(
    "AV1",
    ".obu",
    (0, 63),
    (56, 40, 28, 16),
    "libaom-av1",
    _YUV444,
    "obu",
    ("-usage", "good", "-still-picture", "1", "-tune", "psnr", "-cpu-used", "2"),
    lambda quality: ("-crf", str(quality)),
    r"libaom-av1 @ \w+\] v(\S+)",
  ),
  "vvc": FfmpegFormat(
    "VVC",
    ".266",
    (0, 63),
    (40, 34, 28, 22),
    "libvvenc",
    _YUV420,
    "vvc",
    ("-preset", "medium", "-qpa", "0"),
    lambda quality: ("-qp", str(quality)),
    r"libvvenc version: (\S+)",
  ),
}
