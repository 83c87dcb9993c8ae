#!/usr/bin/env bash
# FFmpeg's psnr and ssim bring the reference to the coded picture's format: lost colour is no error.
#
# Two inputs of different pixel formats are brought to one before the filter sees them. It is the
# poorer of the two, whichever comes first, and not RGB when one of the two is RGB. So a PNG
# original loses its colour resolution (JPEG, WebP and AVIF in 4:2:0) or all its colour (a grey
# picture) before it is compared: an original against its own grey version has 70 dB. No message
# says so below `-v verbose`. "average" then weighs luma 4 : 1 : 1. libvmaf is given the same.
# Naming RGB is not enough: `format=gbrp` alone turns YUV to RGB by FFmpeg's quick conversion, here
# 1.7 dB below Pillow's picture; with `accurate_rnd+full_chroma_int` the two agree within 0.2 dB.
#
# Affected: PSNR, SSIM and Bjøntegaard rates of stills by FFmpeg, most where codecs of different
# chroma formats are compared, or RGB codecs (learned ones) with 4:2:0 ones.
#
# Expected: the format of the first input, or RGB; so a PNG given first is compared in RGB.
# Versions: imageio-ffmpeg 0.8.1 (FFmpeg n9.0.2), Pillow 13.0.0. 2026-11-28. The picture is coloured
# more strongly than a photograph.
# Output seen, PSNR in dB:
#   input              true, RGB   psnr, coded first   psnr, original first   compared in
#   JPEG 4:2:0            32.11          37.89                 37.89             yuvj420p
#   WebP                  31.63          38.76                 38.76             yuv420p
#   grey PNG              13.66          70.25                 70.25             gray
#   JPEG, format=gbrp     32.11          30.36
#   JPEG, accurate gbrp   32.11          31.99
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.2.6 pillow==13.0.0 imageio-ffmpeg==0.8.1 \
  2> "$work/pip.log" || { cat "$work/pip.log"; exit 2; }

cd "$work"
"$work/venv/bin/python" - <<'PY'
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import PIL
from PIL import Image

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
ACCURATE = "scale=sws_flags=accurate_rnd+full_chroma_int,"
random = np.random.default_rng(1)
row, column = np.mgrid[:256, :256]
waves = [128 + 60 * np.sin(column / 7 + 2 * c) + 50 * np.cos(row / 5 - c) for c in range(3)]
pixels = np.stack(waves, -1) + random.normal(0, 6, (256, 256, 3))
original = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
original.save("original.png")
original.save("coded.jpg", quality=80)
original.save("coded.webp", quality=80)
original.convert("L").save("grey.png")


def true_psnr(name):
  coded = np.asarray(Image.open(name).convert("RGB"), np.float64)
  return 10 * np.log10(255**2 / np.mean((coded - np.asarray(original)) ** 2))


def ffmpeg_psnr(first, second, filters="psnr"):
  """Returns the average PSNR, in dB, and the format that an RGB input was converted to."""
  log = subprocess.run(
    [FFMPEG, "-hide_banner", "-v", "verbose", "-i", first, "-i", second,
     "-lavfi", filters, "-f", "null", "-"],
    capture_output=True, text=True, check=True,
  ).stderr
  formats = re.findall(r"fmt:rgb24 .*?-> .*?fmt:(\w+)", log)
  return float(re.search(r"PSNR .*average:([\d.]+)", log)[1]), formats[0]


print("versions: FFmpeg", imageio_ffmpeg.get_ffmpeg_version(), "Pillow", PIL.__version__)
print("expected: the format of the first input, or RGB: the true PSNR with the original first")
print("seen, PSNR in dB:")
print("  input                true, RGB  coded first  original first  compared in")
seen = []
for name in ("coded.jpg", "coded.webp", "grey.png"):
  coded_first, compared_in = ffmpeg_psnr(name, "original.png")
  original_first, _ = ffmpeg_psnr("original.png", name)
  seen.append((true_psnr(name), coded_first, original_first, compared_in))
  print("  %-20s %8.2f %12.2f %12.2f        %s" % (name, *seen[-1]))
named = []
for label, scale in (("format=gbrp", ""), ("accurate gbrp", ACCURATE)):
  chains = "[0]%sformat=gbrp[a];[1]format=gbrp[b];[a][b]psnr" % scale
  named.append(ffmpeg_psnr("coded.jpg", "original.png", chains)[0])
  print("  %-20s %8.2f %12.2f" % ("coded.jpg, " + label[-13:], seen[0][0], named[-1]))

same = (
  all(ours + 4 < first == second for ours, first, second, _ in seen)
  and seen[2][1] > 60
  and [formats for *_, formats in seen] == ["yuvj420p", "yuv420p", "gray"]
  and named[0] < seen[0][0] - 1
  and abs(named[1] - seen[0][0]) < 0.3
)
print("unchanged" if same else "CHANGED: the behaviour is not the one described above")
sys.exit(not same)
PY
