#!/usr/bin/env bash
# VVenC's QP is not the picture's: a small still at QP 32 has 41 to 64 % more bytes than QP 32 has.
#
# VVenC adapts the QP to the eye unless told not to (qpa), and FFmpeg's libvvenc keeps that
# default. On small photographs this lowers the QP on the whole, and the more the smaller the
# picture is, so points named by QP are not those of an encoder that does not adapt, such as VTM as
# configured for the common test conditions. At equal PSNR of luma it also costs 5 to 20 % of the
# bytes (three crops). The option -qpa 0 turns it off.
#
# Affected: anchors "VVC intra, QP 22, 27, 32, 37" made with FFmpeg or vvencapp rather than VTM,
# above all with PSNR as the figure.
#
# Expected: about the bytes of that QP (within 5 %), and a cost of 5 to 10 % at equal PSNR.
# Versions: imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2 with libvvenc), scikit-image 0.26.0. 2026-11-28.
# Output seen (luma of astronaut, preset faster, one frame, QP 32): bytes and PSNR
#   size       as it comes        -qpa 0
#   256x256     5,866  41.38 dB    3,585  38.23 dB
#   512x512    18,913  39.23 dB   13,429  38.42 dB
#   256x256, QP 27 to 42, at equal PSNR: +5.4 %
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  imageio-ffmpeg==0.8.1 scikit-image==0.26.0 numpy==1.26.4 scipy==1.11.4 bjontegaard==1.3.0 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import subprocess
import sys

import bjontegaard
import imageio_ffmpeg
import numpy as np
import skimage.data

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(*arguments, **options):
  command = [FFMPEG, "-y", "-v", "error", *arguments]
  return subprocess.run(command, capture_output=True, check=True, **options).stdout


def code(luma, qp, *options):
  """Returns the bytes and the PSNR of the decoded luma."""
  height, width = luma.shape
  grey = luma.tobytes() + bytes([128]) * (luma.size // 2)
  raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-i", "-"]
  encoder = ["-pix_fmt", "yuv420p10le", "-c:v", "libvvenc", "-preset", "faster", "-qp", str(qp)]
  ffmpeg(*raw, *encoder, *options, "-f", "vvc", "still.266", input=grey)
  decoded = ffmpeg("-i", "still.266", "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-")
  error = np.frombuffer(decoded, np.uint16)[: luma.size].reshape(luma.shape) / 4 - luma
  return os.path.getsize("still.266"), 10 * np.log10(255**2 / np.mean(error**2))


red, green, blue = np.moveaxis(skimage.data.astronaut().astype(np.float64), -1, 0)
luma = np.round((0.299 * red + 0.587 * green + 0.114 * blue) * 219 / 255 + 16).astype(np.uint8)
version = subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.split()[2]
print("versions: imageio-ffmpeg", imageio_ffmpeg.__version__, "ffmpeg", version)
print("expected: within 5 % of the bytes of that QP")
print("seen at QP 32:")
more = []
for size in (256, 512):
  picture = np.ascontiguousarray(luma[:size, :size])
  usual, plain = code(picture, 32), code(picture, 32, "-qpa", "0")
  more.append(100 * (usual[0] / plain[0] - 1))
  row = (size, size, *usual, *plain, more[-1])
  print("  %dx%d: %6d bytes %.2f dB, with -qpa 0 %6d bytes %.2f dB: %+.0f %%" % row)
picture = np.ascontiguousarray(luma[:256, :256])
curve = lambda *options: np.array([code(picture, qp, *options) for qp in (42, 37, 32, 27)]).T
cost = bjontegaard.bd_rate(*curve("-qpa", "0"), *curve(), method="pchip", min_overlap=0)
print("  256x256, at equal PSNR: %+.1f %%" % cost)

same = min(more) > 20 and more[0] > more[1] and cost > 4
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
