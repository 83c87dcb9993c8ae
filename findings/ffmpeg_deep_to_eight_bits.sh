#!/usr/bin/env bash
# FFmpeg reads deep pictures half a level too bright at 8 bits: it rounds a shift.
#
# White is 255 at 8 bits and 65535, 4095 or 1023 at 16, 12 or 10, so v * 255 / 1023 is meant. FFmpeg
# shifts the bits away after adding half of the last place, which is v * 256 / 1024, clipped. An
# 8-bit picture kept at 16 bits (v * 257) and asked back at 8 is 1 too bright in nearly all values
# above 125, 51 dB from itself; at 10 bits, 36 % of RGB and 60 % of YUV values are too bright. It is
# the rounding that harms: cut off without it, as Pillow does with 16-bit PNG files, the picture
# comes back exactly. Flags for accurate rounding change nothing. YUV at 8 bits is exact.
#
# Affected: 8-bit pictures made from 10-bit HEVC, VVC or AV1, or 12-bit JPEG 2000, by FFmpeg: their
# mean square error grows by 0.19 (10-bit RGB) to 0.32 (16 bits) in a picture of middle levels,
# which is 0.1 to 0.2 dB at 40 dB and 0.4 to 0.6 dB at 45 dB. And photographs of 16 bits that are
# turned into training and test sets.
#
# Expected: each picture as it was.
# Versions: imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), Pillow 13.0.0. 2026-11-28.
# Output seen:
#   16-bit PNG, FFmpeg                 wrong  48.8 %   mean error +0.49   largest 1
#   16-bit PNG, FFmpeg, accurate_rnd   wrong  48.8 %   mean error +0.49   largest 1
#   12-bit JPEG 2000, FFmpeg           wrong  45.2 %   mean error +0.45   largest 1
#   10-bit RGB in HEVC, FFmpeg         wrong  35.9 %   mean error +0.36   largest 1
#   10-bit YUV 4:4:4, FFmpeg           wrong  60.4 %   mean error +0.66   largest 2
#   16-bit PNG, Pillow                 wrong   0.0 %   mean error +0.00   largest 0
#   8-bit YUV 4:4:4, FFmpeg            wrong   0.0 %   mean error +0.00   largest 0
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.2.6 pillow==13.0.0 imageio-ffmpeg==0.8.1 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import PIL
from PIL import Image

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
ACCURATE = ["-sws_flags", "accurate_rnd+full_chroma_int+full_chroma_inp"]
LEVELS = np.tile(np.arange(256), (256, 1))  # every 8-bit value


def store(name, pixel_format, bits, *codec):
  """Stores the grey ramp `LEVELS`, in three equal components or as luma, at `bits` bits."""
  deep = np.round(LEVELS * (2**bits - 1) / 255)
  grey = np.full_like(deep, 2 ** (bits - 1))
  if pixel_format.startswith("yuv"):
    components = np.stack([deep, grey, grey])
  else:
    components = np.stack([deep] * 3, 0 if pixel_format.startswith("gbr") else -1)
  subprocess.run(
    [*FFMPEG, "-f", "rawvideo", "-pix_fmt", pixel_format, "-color_range", "pc", "-s", "256x256",
     "-i", "-", *codec, "-pix_fmt", pixel_format, name],
    input=components.astype("<u2" if bits > 8 else np.uint8).tobytes(), check=True,
  )


def by_ffmpeg(name, *flags):
  pixels = subprocess.run(
    [*FFMPEG, "-i", name, *flags, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
    capture_output=True, check=True,
  ).stdout
  return np.frombuffer(pixels, np.uint8).reshape(256, 256, 3)


def by_pillow(name):
  return np.asarray(Image.open(name).convert("RGB"))


def compare(label, pixels):
  error = pixels.astype(int) - LEVELS[..., None]
  wrong, mean = np.mean(error != 0), error.mean()
  print("  %-34s wrong %5.1f %%   mean error %+.2f   largest %d" %
        (label, 100 * wrong, mean, np.abs(error).max()))
  return wrong, mean


FFV1 = ("-c:v", "ffv1", "-color_range", "pc", "-colorspace", "bt709")
store("16.png", "rgb48le", 16)
store("12.jp2", "gbrp12le", 12, "-c:v", "libopenjpeg")
store("10.mkv", "gbrp10le", 10, "-c:v", "libx265", "-x265-params", "lossless=1:log-level=none")
store("10_yuv.mkv", "yuv444p10le", 10, *FFV1)
store("8_yuv.mkv", "yuv444p", 8, *FFV1)

print("versions: FFmpeg", imageio_ffmpeg.get_ffmpeg_version(), "Pillow", PIL.__version__)
print("expected: no wrong value")
print("seen:")
rounded = [
  compare("16-bit PNG, FFmpeg", by_ffmpeg("16.png")),
  compare("16-bit PNG, FFmpeg, accurate_rnd", by_ffmpeg("16.png", *ACCURATE)),
  compare("12-bit JPEG 2000, FFmpeg", by_ffmpeg("12.jp2")),
  compare("10-bit RGB in HEVC, FFmpeg", by_ffmpeg("10.mkv")),
  compare("10-bit YUV 4:4:4, FFmpeg", by_ffmpeg("10_yuv.mkv")),
]
cut = compare("16-bit PNG, Pillow", by_pillow("16.png"))
shallow = compare("8-bit YUV 4:4:4, FFmpeg", by_ffmpeg("8_yuv.mkv"))

same = (
  all(wrong > 0.3 and mean > 0.3 for wrong, mean in rounded)
  and cut == (0, 0)
  and abs(shallow[1]) < 0.2
)
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
