#!/usr/bin/env bash
# FFmpeg's SSIM does not see the last one to three rows and columns: noise there scores 1.
#
# The filter cuts a plane into blocks of 4x4 from its upper left corner and takes windows of 2x2
# blocks. A side that is not a multiple of 4 leaves a rest that no window holds. Its pixels do not
# count at all, so a picture whose last 3 rows are noise has SSIM 1.000000 and infinite dB, while
# PSNR sees them. In 4:2:0 the rest of the chroma planes is up to 7 rows of the picture. Nothing is
# said, and the number has no gap between 1.0 and this.
#
# Affected: tests and curves of codecs that pad pictures to a multiple of a stride (learned codecs,
# 16 or 64) and crop them again: their faults lie in just these rows and columns.
#
# Expected: each pixel counts; noise in 3 of 259 rows lowers SSIM as it does in 3 of 260.
# Versions: imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2). 2026-11-28.
# Output seen:
#   picture        noise in the last    SSIM       PSNR
#   257x256 grey   1 row             1.000000    33.55 dB
#   259x256 grey   3 rows            1.000000    29.36 dB
#   256x259 grey   3 columns         1.000000    28.37 dB
#   260x256 grey   3 rows            0.988112    28.93 dB
#   254x256 4:2:0  3 rows of chroma  1.000000    29.34 dB
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.2.6 imageio-ffmpeg==0.8.1 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner"]


def log_of(first, second, pixel_format, filters):
  """Runs a filter on two raw pictures, lists of planes [H, W]; returns FFmpeg's log."""
  height, width = first[0].shape
  inputs = []
  for name, planes in (("a.raw", first), ("b.raw", second)):
    with open(name, "wb") as file:
      file.writelines(plane.tobytes() for plane in planes)
    inputs += ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{width}x{height}", "-i", name]
  return subprocess.run(
    [*FFMPEG, *inputs, "-lavfi", filters, "-f", "null", "-"],
    capture_output=True, text=True, check=True,
  ).stderr


def ssim(*arguments):
  return float(re.search(r"SSIM .*All:([\d.]+)", log_of(*arguments, "ssim"))[1])


def psnr(*arguments):
  return float(re.search(r"PSNR .*average:([\d.]+)", log_of(*arguments, "psnr"))[1])


def noisy(planes, rows, columns):
  """The planes with noise in the last rows and columns of each."""
  result = [plane.copy() for plane in planes]
  for plane in result:
    if rows:
      plane[-rows:] = random.integers(0, 256, plane[-rows:].shape)
    if columns:
      plane[:, -columns:] = random.integers(0, 256, plane[:, -columns:].shape)
  return result


print("versions: FFmpeg", imageio_ffmpeg.get_ffmpeg_version())
print("expected: SSIM below 1 in each case")
print("seen:\n  picture        noise in the last    SSIM       PSNR")
random = np.random.default_rng(0)
row, column = np.mgrid[:260, :259]
waves = np.round(128 + 50 * np.sin(column / 7) + 50 * np.cos(row / 5)).astype(np.uint8)
cases = {}
for height, width, rows, columns in (
  (257, 256, 1, 0), (259, 256, 3, 0), (256, 259, 0, 3), (260, 256, 3, 0),
):
  planes = [waves[:height, :width]]
  arguments = noisy(planes, rows, columns), planes, "gray"
  cases[height, width] = ssim(*arguments)
  what = "1 row" if rows == 1 else f"{rows} rows" if rows else f"{columns} columns"
  print("  %dx%d grey   %-12s      %.6f   %6.2f dB" %
        (height, width, what, cases[height, width], psnr(*arguments)))
luma, chroma = waves[:254, :256], waves[:127, :128]
arguments = [luma, *noisy([chroma, chroma], 3, 0)], [luma, chroma, chroma], "yuv420p"
in_chroma = ssim(*arguments)
print("  254x256 4:2:0  3 rows of chroma  %.6f   %6.2f dB" % (in_chroma, psnr(*arguments)))

seen = cases.pop((260, 256))
same = all(value == 1 for value in (*cases.values(), in_chroma)) and seen < 0.995
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
