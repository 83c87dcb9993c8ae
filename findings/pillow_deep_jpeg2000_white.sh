#!/usr/bin/env bash
# Pillow reads white as black in colour JPEG 2000 files of more than 8 bits.
#
# Pillow brings colour of 9 to 16 bits to 8 by adding half of the last place and shifting. White,
# (1023 + 2) >> 2 at 10 bits, is 256, and as it is not clipped the byte is 0. All three components
# do this on their own, so a component near its maximum turns a bright colour into another. The
# values from the middle up are 1 too bright besides (`ffmpeg_deep_to_eight_bits.sh` has the
# cause). No warning. Files of 8 bits are right, and grey ones, which become mode "I;16". FFmpeg
# reads the same files without a wrong value at full depth.
#
# Affected: photographs, scans and satellite pictures in deep JPEG 2000 that become training or test
# sets; curves of JPEG 2000 at 10 or 12 bits. One white value in 2000 is enough to hold an otherwise
# exact picture at 33 dB.
#
# Expected: white is 255 at all depths.
# Versions: Pillow 13.0.0 (OpenJPEG 2.5.4), imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2). 2026-11-28.
# Output seen:
#   bits   mode     0   127   128   254   255 become          FFmpeg, full depth
#     8    RGB      0   127   128   254   255                  exact
#     9    RGB      0   127   129   255     0                  exact
#    10    RGB      0   127   129   255     0                  exact
#    12    RGB      0   127   129   255     0                  exact
#    16    RGB      0   127   129   255     0                  exact
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
from PIL import Image, features

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error"]
LEVELS = np.tile(np.arange(256), (256, 1))  # every 8-bit value, the same in red, green and blue


def store(name, pixel_format, bits):
  """Stores `LEVELS` without loss at `bits` bits; returns the stored planes."""
  deep = np.round(LEVELS * (2**bits - 1) / 255).astype(np.uint8 if bits == 8 else "<u2")
  planes = np.stack([deep] * 3)
  subprocess.run(
    [*FFMPEG, "-f", "rawvideo", "-pix_fmt", pixel_format, "-s", "256x256", "-i", "-",
     "-c:v", "libopenjpeg", "-pix_fmt", pixel_format, name],
    input=planes.tobytes(), check=True,
  )
  return planes


def exact(name, pixel_format, planes):
  pixels = subprocess.run(
    [*FFMPEG, "-i", name, "-f", "rawvideo", "-pix_fmt", pixel_format, "-"],
    capture_output=True, check=True,
  ).stdout
  return pixels == planes.tobytes()


print("versions: Pillow", PIL.__version__, "OpenJPEG", features.version("jpg_2000"),
      "FFmpeg", imageio_ffmpeg.get_ffmpeg_version())
print("expected: white, 255, is 255 at all depths")
print("seen:\n  bits   mode     0   127   128   254   255 become          FFmpeg, full depth")
white = {}
valid = []
for bits in (8, 9, 10, 12, 16):
  name, pixel_format = f"{bits}.jp2", "gbrp" if bits == 8 else f"gbrp{bits}le"
  valid.append(exact(name, pixel_format, store(name, pixel_format, bits)))
  with Image.open(name) as image:
    pixels = np.asarray(image)
  white[bits] = pixels[0, 255].tolist()
  levels = "".join("%6d" % pixels[0, level, 0] for level in (0, 127, 128, 254, 255))
  print("  %4d    %s %s                  %s" %
        (bits, image.mode, levels, "exact" if valid[-1] else "NOT EXACT"))

same = (
  all(valid)
  and white[8] == [255] * 3
  and all(white[bits] == [0] * 3 for bits in (9, 10, 12, 16))
)
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
